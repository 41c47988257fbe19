"""What was said about a request stays as it was; nothing of it is deleted."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('governance', '0020_leaf_hashes'),
    ]

    operations = [
        migrations.CreateModel(
            name='ApprovalComment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('author_label', models.CharField(max_length=300)),
                ('text', models.TextField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('author', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization')),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='comments', to='governance.approvalrequest')),
            ],
            options={
                'ordering': ('id',),
                'constraints': [models.CheckConstraint(condition=models.Q(('text', ''), _negated=True), name='approval_comment_says_something')],
            },
        ),
        migrations.RunSQL(
            """
            CREATE TRIGGER approvalcomment_is_history
                BEFORE UPDATE OR DELETE OR TRUNCATE ON governance_approvalcomment
                FOR EACH STATEMENT EXECUTE FUNCTION driftguard_only_added();
            ALTER TABLE governance_approvalcomment
                ENABLE ALWAYS TRIGGER approvalcomment_is_history;
            REVOKE UPDATE, DELETE, TRUNCATE ON governance_approvalcomment
                FROM driftguard_app;
            """,
            """
            DROP TRIGGER approvalcomment_is_history ON governance_approvalcomment;
            GRANT UPDATE, DELETE ON governance_approvalcomment TO driftguard_app;
            """,
        ),
    ]
