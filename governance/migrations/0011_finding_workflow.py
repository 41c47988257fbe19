"""Findings are worked on, resolved by one person and closed by another."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('governance', '0010_audit_append'),
    ]

    operations = [
        migrations.CreateModel(
            name='FindingAction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('retrain', 'Retrain the model'), ('restrict_use', 'Restrict its use'), ('accept_risk', 'Accept the risk')], max_length=12)),
                ('status', models.CharField(choices=[('requested', 'Requested'), ('done', 'Done'), ('declined', 'Declined')], default='requested', max_length=10)),
                ('note', models.TextField()),
                ('until', models.DateTimeField(blank=True, null=True)),
                ('requested_label', models.CharField(max_length=300)),
                ('requested_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('decided_label', models.CharField(blank=True, max_length=300)),
                ('decided_at', models.DateTimeField(editable=False, null=True)),
                ('decision', models.TextField(blank=True)),
                ('ended_at', models.DateTimeField(editable=False, null=True)),
            ],
            options={
                'ordering': ('id',),
            },
        ),
        migrations.CreateModel(
            name='FindingComment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('author_label', models.CharField(max_length=300)),
                ('text', models.TextField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                'ordering': ('id',),
            },
        ),
        migrations.CreateModel(
            name='FindingLink',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reference', models.CharField(blank=True, max_length=1000)),
                ('note', models.TextField(blank=True)),
                ('added_label', models.CharField(max_length=300)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                'ordering': ('id',),
            },
        ),
        migrations.CreateModel(
            name='Remediation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reason', models.TextField()),
                ('declared_label', models.CharField(max_length=300)),
                ('declared_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                'ordering': ('id',),
            },
        ),
        migrations.AddField(
            model_name='finding',
            name='closed_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='finding',
            name='closed_by',
            field=models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='finding',
            name='closed_label',
            field=models.CharField(blank=True, editable=False, max_length=300),
        ),
        migrations.AddField(
            model_name='finding',
            name='closing_reason',
            field=models.TextField(blank=True, editable=False),
        ),
        migrations.AddField(
            model_name='finding',
            name='due_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='finding',
            name='reminded_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='finding',
            name='resolution',
            field=models.TextField(blank=True, editable=False),
        ),
        migrations.AddField(
            model_name='finding',
            name='resolved_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='finding',
            name='resolved_by',
            field=models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='finding',
            name='resolved_label',
            field=models.CharField(blank=True, editable=False, max_length=300),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status__in', ('resolved', 'closed')), _negated=True), models.Q(('resolved_at__isnull', False), ('resolved_by__isnull', False), models.Q(('resolution', ''), _negated=True)), _connector='OR'), name='finding_resolved_by_somebody'),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'closed'), _negated=True), models.Q(('closed_at__isnull', False), ('closed_by__isnull', False), models.Q(('closing_reason', ''), _negated=True), models.Q(('closed_by', models.F('resolved_by')), _negated=True)), _connector='OR'), name='finding_closed_by_another'),
        ),
        migrations.AddField(
            model_name='findingaction',
            name='decided_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='findingaction',
            name='finding',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='actions', to='governance.finding'),
        ),
        migrations.AddField(
            model_name='findingaction',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization'),
        ),
        migrations.AddField(
            model_name='findingaction',
            name='requested_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='findingcomment',
            name='author',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='findingcomment',
            name='finding',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='comments', to='governance.finding'),
        ),
        migrations.AddField(
            model_name='findingcomment',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization'),
        ),
        migrations.AddField(
            model_name='findinglink',
            name='added_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='findinglink',
            name='evidence',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.evidence'),
        ),
        migrations.AddField(
            model_name='findinglink',
            name='finding',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='links', to='governance.finding'),
        ),
        migrations.AddField(
            model_name='findinglink',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization'),
        ),
        migrations.AddField(
            model_name='remediation',
            name='declared_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='remediation',
            name='finding',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='remediations', to='governance.finding'),
        ),
        migrations.AddField(
            model_name='remediation',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization'),
        ),
        migrations.AddField(
            model_name='remediation',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='remediations', to='governance.modelversion'),
        ),
        migrations.AddConstraint(
            model_name='findingaction',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ('retrain', 'restrict_use', 'accept_risk'))), name='finding_action_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='findingaction',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ('requested', 'done', 'declined'))), name='finding_action_status_known'),
        ),
        migrations.AddConstraint(
            model_name='findingaction',
            constraint=models.CheckConstraint(condition=models.Q(('status', 'requested'), models.Q(('decided_at__isnull', False), ('decided_by__isnull', False)), _connector='OR'), name='finding_action_decided_by_somebody'),
        ),
        migrations.AddConstraint(
            model_name='findingaction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'accept_risk'), _negated=True), ('until__gt', models.F('requested_at')), _connector='OR'), name='finding_risk_accepted_until'),
        ),
        migrations.AddConstraint(
            model_name='findingaction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'accept_risk'), _negated=True), ('decided_by', None), models.Q(('decided_by', models.F('requested_by')), _negated=True), _connector='OR'), name='finding_risk_accepted_by_another'),
        ),
        migrations.AddConstraint(
            model_name='findinglink',
            constraint=models.CheckConstraint(condition=models.Q(('evidence__isnull', False), models.Q(('reference', ''), _negated=True), _connector='OR'), name='finding_link_leads_somewhere'),
        ),
        migrations.AddConstraint(
            model_name='remediation',
            constraint=models.UniqueConstraint(fields=('finding', 'version'), name='remediation_declared_once'),
        ),
        # What was said and linked stays as it was; nothing of it is deleted.
        migrations.RunSQL(
            """
            REVOKE DELETE, TRUNCATE ON governance_finding FROM driftguard_app;
            REVOKE DELETE, TRUNCATE ON governance_findingaction FROM driftguard_app;
            REVOKE UPDATE, DELETE, TRUNCATE ON governance_findingcomment,
                governance_findinglink, governance_remediation FROM driftguard_app;
            """,
            """
            GRANT DELETE ON governance_finding, governance_findingaction
                TO driftguard_app;
            GRANT UPDATE, DELETE ON governance_findingcomment,
                governance_findinglink, governance_remediation TO driftguard_app;
            """,
        ),
    ]
