"""Exceptions that end, and what was in production when, by whose leave."""

import datetime
import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('governance', '0017_findings_settle_themselves'),
    ]

    operations = [
        migrations.AddField(
            model_name='assessment',
            name='blocked_evaluations',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='modelversion',
            name='baseline_labelled',
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.CreateModel(
            name='Override',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('environment', models.CharField(choices=[('production', 'Production'), ('staging', 'Staging'), ('development', 'Development')], max_length=20)),
                ('rules', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), size=None)),
                ('status', models.CharField(choices=[('proposed', 'Proposed'), ('under_review', 'Under review'), ('approved', 'Approved'), ('active', 'Active'), ('expired', 'Expired'), ('revoked', 'Revoked'), ('rejected', 'Rejected')], default='proposed', max_length=12)),
                ('justification', models.TextField()),
                ('is_justified', models.BooleanField(default=True)),
                ('requested_label', models.CharField(max_length=300)),
                ('barred', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                ('requested_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('longest', models.DurationField()),
                ('gate', models.JSONField(default=dict)),
                ('reviewed_label', models.CharField(blank=True, max_length=300)),
                ('reviewed_at', models.DateTimeField(editable=False, null=True)),
                ('decided_label', models.CharField(blank=True, max_length=300)),
                ('decided_at', models.DateTimeField(editable=False, null=True)),
                ('decision', models.TextField(blank=True)),
                ('starts_at', models.DateTimeField(blank=True, null=True)),
                ('activated_at', models.DateTimeField(editable=False, null=True)),
                ('expires_at', models.DateTimeField()),
                ('warned_at', models.DateTimeField(editable=False, null=True)),
                ('ended_at', models.DateTimeField(editable=False, null=True)),
                ('ended_label', models.CharField(blank=True, max_length=300)),
                ('end_reason', models.TextField(blank=True)),
                ('decided_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('ended_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('extends', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='extensions', to='governance.override')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization')),
                ('policy_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.policyversion')),
                ('requested_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('requested_with', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.apikey')),
                ('reviewed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='overrides', to='governance.modelversion')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='Deployment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('environment', models.CharField(choices=[('production', 'Production'), ('staging', 'Staging'), ('development', 'Development')], max_length=20)),
                ('kind', models.CharField(choices=[('deploy', 'Deployed'), ('rollback', 'Rolled back to'), ('resume', 'Resumed'), ('intake', 'Deployed (intake)'), ('break_glass', 'Break-glass')], max_length=12)),
                ('reason', models.TextField(blank=True)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('requested_label', models.CharField(max_length=300)),
                ('mode', models.CharField(max_length=10)),
                ('gate', models.JSONField(default=dict)),
                ('fallback', models.CharField(choices=[('previous_version', 'The previous version'), ('fixed_rule', 'A fixed rule'), ('manual_review', 'Manual review')], max_length=20)),
                ('fallback_text', models.CharField(blank=True, max_length=500)),
                ('due_at', models.DateTimeField(editable=False, null=True)),
                ('overdue_at', models.DateTimeField(editable=False, null=True)),
                ('until', models.DateTimeField(editable=False, null=True)),
                ('ratify_by', models.DateTimeField(editable=False, null=True)),
                ('ratified_label', models.CharField(blank=True, max_length=300)),
                ('ratified_at', models.DateTimeField(editable=False, null=True)),
                ('ratification', models.TextField(blank=True)),
                ('unratified_at', models.DateTimeField(editable=False, null=True)),
                ('blocked_told_at', models.DateTimeField(editable=False, null=True)),
                ('suspended_at', models.DateTimeField(editable=False, null=True)),
                ('suspension', models.CharField(blank=True, choices=[('person', 'By a person'), ('policy', 'By the policy'), ('override_ended', 'Its override ended'), ('intake_overdue', 'Its intake is overdue'), ('break_glass_ended', 'Its break-glass ended')], max_length=20)),
                ('suspended_label', models.CharField(blank=True, max_length=300)),
                ('suspension_reason', models.TextField(blank=True)),
                ('ended_at', models.DateTimeField(editable=False, null=True)),
                ('end', models.CharField(blank=True, choices=[('replaced', 'Replaced'), ('resumed', 'Resumed'), ('retired', 'Retired')], max_length=10)),
                ('ended_label', models.CharField(blank=True, max_length=300)),
                ('approval', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='deployments', to='governance.approvalrequest')),
                ('ended_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('fallback_version', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.modelversion')),
                ('model', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='deployments', to='governance.registeredmodel')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization')),
                ('policy_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.policyversion')),
                ('ratified_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('requested_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('requested_with', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.apikey')),
                ('suspended_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='deployments', to='governance.modelversion')),
                ('override', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='deployments', to='governance.override')),
            ],
            options={
                'ordering': ('-started_at', '-id'),
            },
        ),
        migrations.AddIndex(
            model_name='override',
            index=models.Index(condition=models.Q(('status__in', ('proposed', 'under_review', 'approved', 'active'))), fields=['expires_at'], name='override_open_by_expiry'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ('proposed', 'under_review', 'approved', 'active', 'expired', 'revoked', 'rejected'))), name='override_status_known'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(('environment__in', ('production', 'staging', 'development'))), name='override_environment_known'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(('rules__len__gte', 1)), name='override_names_rules'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(('justification__length__gte', 20)), name='override_is_justified'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(('expires_at__gt', models.F('requested_at'))), name='override_expires_later'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(('activated_at', None), ('expires_at__lte', django.db.models.expressions.CombinedExpression(models.F('activated_at'), '+', models.F('longest'))), _connector='OR'), name='override_lasts_no_longer_than_allowed'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(('barred__contains', [models.F('requested_by')])), name='override_requester_is_barred'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(('decided_by', None), models.Q(models.Q(('decided_by', models.F('requested_by')), _negated=True), models.Q(('barred__contains', [models.F('decided_by')]), _negated=True)), _connector='OR'), name='override_decided_by_another'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status__in', ('approved', 'active', 'rejected')), _negated=True), models.Q(('decided_at__isnull', False), ('decided_by__isnull', False), models.Q(('decision', ''), _negated=True)), _connector='OR'), name='override_decided_by_somebody'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(('activated_at', None), models.Q(('activated_at__gte', models.F('decided_at')), ('decided_by__isnull', False)), _connector='OR'), name='override_active_after_decision'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'active'), _negated=True), ('activated_at__isnull', False), _connector='OR'), name='override_active_since'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status__in', ('expired', 'revoked')), _negated=True), ('ended_at__isnull', False), _connector='OR'), name='override_ended_at'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'active')), fields=('version', 'environment'), name='override_one_active'),
        ),
        migrations.AddConstraint(
            model_name='override',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ('proposed', 'under_review', 'approved'))), fields=('version', 'environment'), name='override_one_waiting'),
        ),
        migrations.AddIndex(
            model_name='deployment',
            index=models.Index(fields=['model', 'environment', 'started_at'], name='deployment_by_time'),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('model', 'environment'), name='deployment_one_open'),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.CheckConstraint(condition=models.Q(('environment__in', ('production', 'staging', 'development'))), name='deployment_environment_known'),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ('deploy', 'rollback', 'resume', 'intake', 'break_glass'))), name='deployment_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.CheckConstraint(condition=models.Q(('mode__in', ('prevent', 'warn', 'observe'))), name='deployment_mode_known'),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.CheckConstraint(condition=models.Q(('approval__isnull', False), ('kind__in', ('intake', 'break_glass')), ('mode__in', ('warn', 'observe')), _connector='OR'), name='deployment_is_approved'),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('fallback', 'previous_version'), ('fallback_version__isnull', False)), models.Q(('fallback', 'fixed_rule'), models.Q(('fallback_text', ''), _negated=True)), ('fallback', 'manual_review'), _connector='OR'), name='deployment_names_its_fallback'),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'intake'), _negated=True), ('due_at__isnull', False), _connector='OR'), name='deployment_intake_is_due'),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'break_glass'), _negated=True), models.Q(('ratify_by__isnull', False), ('ratify_by__lte', django.db.models.expressions.CombinedExpression(models.F('started_at'), '+', models.Value(datetime.timedelta(days=1)))), ('until__isnull', False), ('until__lte', django.db.models.expressions.CombinedExpression(models.F('started_at'), '+', models.Value(datetime.timedelta(seconds=28800)))), models.Q(('reason', ''), _negated=True)), _connector='OR'), name='deployment_break_glass_ends'),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.CheckConstraint(condition=models.Q(('ratified_by', None), models.Q(('ratified_by', models.F('requested_by')), _negated=True), _connector='OR'), name='deployment_ratified_by_another'),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('suspended_at', None), ('suspension', '')), models.Q(('suspended_at__gte', models.F('started_at')), models.Q(('suspension', ''), _negated=True)), _connector='OR'), name='deployment_suspended_after_start'),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('end', ''), ('ended_at', None)), models.Q(('ended_at__gte', models.F('started_at')), models.Q(('end', ''), _negated=True)), _connector='OR'), name='deployment_ended_after_start'),
        ),
    ]
