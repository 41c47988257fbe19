"""Requests for approval are numbered like everything else that the trail refers to.

Nothing was asked for yet: their tables are made anew.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0014_invitations"),
    ]

    operations = [
        migrations.DeleteModel("ApprovalVote"),
        migrations.DeleteModel("StageApprover"),
        migrations.DeleteModel("ApprovedSubject"),
        migrations.DeleteModel("Delegation"),
        migrations.DeleteModel("ApprovalStage"),
        migrations.DeleteModel("ApprovalRequest"),
        migrations.AddField(
            model_name='policyversion',
            name='archived_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='registeredmodel',
            name='retired_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.CreateModel(
            name='ApprovalRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('deploy', 'Approve a version'), ('policy', 'Publish a policy version'), ('change', 'Change what was approved'), ('retire', 'Retire a model')], max_length=10)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('approved', 'Approved'), ('applied', 'Applied'), ('rejected', 'Rejected'), ('changes_requested', 'Changes requested'), ('withdrawn', 'Withdrawn'), ('expired', 'Expired'), ('stale', 'Stale')], default='pending', max_length=20)),
                ('label', models.CharField(max_length=500)),
                ('proposal', models.JSONField(default=dict)),
                ('reason', models.TextField(blank=True)),
                ('subject', models.JSONField()),
                ('digest', models.CharField(max_length=64)),
                ('requested_by_label', models.CharField(max_length=300)),
                ('barred', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                ('stage', models.PositiveSmallIntegerField(default=1)),
                ('auto_approval', models.JSONField(null=True)),
                ('submitted_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('expires_at', models.DateTimeField()),
                ('decided_at', models.DateTimeField(editable=False, null=True)),
                ('outcome', models.TextField(blank=True)),
                ('difference', models.JSONField(default=list)),
                ('applied_at', models.DateTimeField(editable=False, null=True)),
                ('used_at', models.DateTimeField(editable=False, null=True)),
                ('draft', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='requests', to='governance.policyversion')),
                ('evidence', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.evidence')),
                ('model', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='requests', to='governance.registeredmodel')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization')),
                ('policy_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='decided_requests', to='governance.policyversion')),
                ('requested_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='requests', to=settings.AUTH_USER_MODEL)),
                ('requested_with', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.apikey')),
                ('version', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='requests', to='governance.modelversion')),
            ],
            options={
                'verbose_name': 'approval request',
                'ordering': ('-submitted_at', '-id'),
            },
        ),
        migrations.CreateModel(
            name='ApprovalStage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveSmallIntegerField()),
                ('role', models.CharField(blank=True, choices=[('owner', 'Owner'), ('model_owner', 'Model owner'), ('validator', 'Validator'), ('compliance_officer', 'Compliance officer'), ('auditor', 'Auditor')], max_length=20)),
                ('people', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=254), default=list, size=None)),
                ('quorum', models.PositiveSmallIntegerField()),
                ('sla_hours', models.FloatField()),
                ('escalate_to', models.CharField(choices=[('owner', 'Owner'), ('model_owner', 'Model owner'), ('validator', 'Validator'), ('compliance_officer', 'Compliance officer'), ('auditor', 'Auditor')], max_length=20)),
                ('opened_at', models.DateTimeField(null=True)),
                ('due_at', models.DateTimeField(null=True)),
                ('escalated_at', models.DateTimeField(null=True)),
                ('completed_at', models.DateTimeField(null=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization')),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='stages', to='governance.approvalrequest')),
            ],
            options={
                'ordering': ('request', 'number'),
            },
        ),
        migrations.CreateModel(
            name='ApprovedSubject',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('subject', models.JSONField()),
                ('digest', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('change', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.approvalrequest')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization')),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.approvalrequest')),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='approved_subjects', to='governance.modelversion')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='Delegation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('delegator_label', models.CharField(max_length=300)),
                ('delegate_label', models.CharField(max_length=300)),
                ('role', models.CharField(choices=[('owner', 'Owner'), ('model_owner', 'Model owner'), ('validator', 'Validator'), ('compliance_officer', 'Compliance officer'), ('auditor', 'Auditor')], max_length=20)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('reason', models.TextField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('confirmed_at', models.DateTimeField(null=True)),
                ('revoked_at', models.DateTimeField(null=True)),
                ('confirmed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('delegate', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('delegator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization')),
                ('revoked_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ('-starts_at', '-id'),
            },
        ),
        migrations.CreateModel(
            name='ApprovalVote',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('decision', models.CharField(choices=[('approve', 'Approve'), ('reject', 'Reject'), ('changes_requested', 'Request changes')], max_length=20)),
                ('reason', models.TextField(blank=True)),
                ('voter_label', models.CharField(max_length=300)),
                ('principal_label', models.CharField(max_length=300)),
                ('role', models.CharField(choices=[('owner', 'Owner'), ('model_owner', 'Model owner'), ('validator', 'Validator'), ('compliance_officer', 'Compliance officer'), ('auditor', 'Auditor')], max_length=20)),
                ('proof', models.CharField(blank=True, max_length=30)),
                ('batch', models.UUIDField(null=True)),
                ('cast_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization')),
                ('principal', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='votes', to='governance.approvalrequest')),
                ('stage', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='votes', to='governance.approvalstage')),
                ('voter', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='votes', to=settings.AUTH_USER_MODEL)),
                ('delegation', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='votes', to='governance.delegation')),
            ],
            options={
                'ordering': ('cast_at', 'id'),
            },
        ),
        migrations.CreateModel(
            name='StageApprover',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('label', models.CharField(max_length=300)),
                ('role', models.CharField(choices=[('owner', 'Owner'), ('model_owner', 'Model owner'), ('validator', 'Validator'), ('compliance_officer', 'Compliance officer'), ('auditor', 'Auditor')], max_length=20)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.organization')),
                ('stage', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='approvers', to='governance.approvalstage')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.AddIndex(
            model_name='approvalrequest',
            index=models.Index(condition=models.Q(('status__in', ('pending', 'approved'))), fields=['expires_at'], name='approval_open_by_expiry'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ('pending', 'approved'))), fields=('kind', 'version'), name='approval_one_open_per_version'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ('pending', 'approved')), ('version', None)), fields=('kind', 'model'), name='approval_one_open_per_model'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ('pending', 'approved'))), fields=('draft',), name='approval_one_open_per_draft'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ('pending', 'approved', 'applied', 'rejected', 'changes_requested', 'withdrawn', 'expired', 'stale'))), name='approval_status_known'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('draft', None), ('kind', 'deploy'), ('model__isnull', False), ('version__isnull', False)), models.Q(('draft__isnull', False), ('kind', 'policy'), ('model', None), ('version', None)), models.Q(('draft', None), ('kind', 'change'), ('model__isnull', False)), models.Q(('draft', None), ('kind', 'retire'), ('model__isnull', False), ('version', None)), _connector='OR'), name='approval_kind_has_its_subject'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.CheckConstraint(condition=models.Q(('barred__contains', [models.F('requested_by')])), name='approval_requester_is_barred'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.CheckConstraint(condition=models.Q(('expires_at__gt', models.F('submitted_at'))), name='approval_expires_later'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.CheckConstraint(condition=models.Q(('auto_approval', None), ('kind', 'deploy'), _connector='OR'), name='approval_auto_for_versions_only'),
        ),
        migrations.AddConstraint(
            model_name='approvalrequest',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'applied'), _negated=True), models.Q(('applied_at__isnull', False), ('decided_at__isnull', False)), _connector='OR'), name='approval_applied_at_some_time'),
        ),
        migrations.AddConstraint(
            model_name='approvalstage',
            constraint=models.UniqueConstraint(fields=('request', 'number'), name='approval_stage_unique'),
        ),
        migrations.AddConstraint(
            model_name='approvalstage',
            constraint=models.CheckConstraint(condition=models.Q(('quorum__gte', 1)), name='approval_quorum_from_one'),
        ),
        migrations.AddConstraint(
            model_name='approvalstage',
            constraint=models.CheckConstraint(condition=models.Q(('sla_hours__gt', 0)), name='approval_sla_positive'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.CheckConstraint(condition=models.Q(('delegator', models.F('delegate')), _negated=True), name='delegation_to_somebody_else'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at'))), name='delegation_ends_later'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('created_by', models.F('delegate')), _negated=True), models.Q(('confirmed_by', None), models.Q(('confirmed_by', models.F('delegate')), _negated=True), _connector='OR')), name='delegation_never_by_delegate'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('confirmed_at', None), ('confirmed_by', None)), models.Q(('confirmed_at__isnull', False), ('confirmed_by', models.F('delegator')), ('confirmed_by__isnull', False), ('created_by', models.F('delegator'))), models.Q(('confirmed_at__isnull', False), ('confirmed_by__isnull', False), models.Q(('created_by', models.F('delegator')), _negated=True), models.Q(('confirmed_by', models.F('delegator')), _negated=True), models.Q(('confirmed_by', models.F('created_by')), _negated=True)), _connector='OR'), name='delegation_by_oneself_or_two'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.CheckConstraint(condition=models.Q(('role__in', ('validator', 'compliance_officer'))), name='delegation_of_a_voting_role'),
        ),
        migrations.AddConstraint(
            model_name='approvalvote',
            constraint=models.UniqueConstraint(fields=('request', 'voter'), name='approval_one_vote_per_voter'),
        ),
        migrations.AddConstraint(
            model_name='approvalvote',
            constraint=models.UniqueConstraint(fields=('request', 'principal'), name='approval_one_vote_per_person'),
        ),
        migrations.AddConstraint(
            model_name='approvalvote',
            constraint=models.CheckConstraint(condition=models.Q(('decision__in', ('approve', 'reject', 'changes_requested'))), name='approval_vote_known'),
        ),
        migrations.AddConstraint(
            model_name='approvalvote',
            constraint=models.CheckConstraint(condition=models.Q(('decision', 'approve'), models.Q(('reason', ''), _negated=True), _connector='OR'), name='approval_refusal_has_a_reason'),
        ),
        migrations.AddConstraint(
            model_name='approvalvote',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decision', 'approve'), _negated=True), models.Q(('proof', ''), _negated=True), _connector='OR'), name='approval_vote_is_proved'),
        ),
        migrations.AddConstraint(
            model_name='approvalvote',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('delegation', None), ('voter', models.F('principal'))), models.Q(models.Q(('voter', models.F('principal')), _negated=True), ('delegation__isnull', False)), _connector='OR'), name='approval_vote_own_or_delegated'),
        ),
        migrations.AddConstraint(
            model_name='stageapprover',
            constraint=models.UniqueConstraint(fields=('stage', 'user'), name='stage_approver_unique'),
        ),
    ]
