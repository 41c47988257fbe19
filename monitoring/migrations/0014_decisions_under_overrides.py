"""All decisions made under an override are one query; a retired model's are marked."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('governance', '0019_deployment_guard'),
        ('monitoring', '0013_labelled_baselines'),
    ]

    operations = [
        migrations.AlterField(
            model_name='prediction',
            name='verdict',
            field=models.CharField(choices=[('NOT_ASSESSED', 'Not assessed'), ('APPROVED', 'Within limits'), ('AT_RISK', 'At risk'), ('BLOCKED', 'Blocked'), ('RETIRED', 'Retired')], max_length=12),
        ),
        migrations.AddIndex(
            model_name='prediction',
            index=models.Index(condition=models.Q(('override_id__isnull', False)), fields=['override_id', 'id'], name='prediction_by_override'),
        ),
    ]
