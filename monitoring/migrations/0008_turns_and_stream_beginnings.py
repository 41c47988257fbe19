from django.db import migrations, models
import django.utils.timezone


class Migration(migrations.Migration):

    dependencies = [
        ('monitoring', '0007_baselines_of_versions'),
    ]

    operations = [
        migrations.AddField(
            model_name='streamstate',
            name='fed_from',
            field=models.DateTimeField(default=django.utils.timezone.now),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name='analysisrun',
            index=models.Index(fields=['organization', '-started_at'], name='analysis_run_turns'),
        ),
    ]
