"""The database refuses what the deeds refuse: four eyes hold for raw SQL too.

A request starts as pending and ends once; it is approved only with the votes that its
stages ask for, of people who neither asked for it nor made or changed its subject.
Votes, approvals and what they rest on are only ever added. A policy's content stays
once it is no draft. ENABLE ALWAYS: also for a session that pretends to be a replica.
"""

from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION driftguard_refuse(why text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', why USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION driftguard_only_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM driftguard_refuse(format(
        '%s on %s is refused: its rows are history', TG_OP, TG_TABLE_NAME));
    RETURN NULL;
END $$;

-- Who may not vote on a request: who asked, and who made or last changed the subject,
-- in person or through a key that is theirs or that they made.
CREATE FUNCTION driftguard_people_behind(request governance_approvalrequest)
RETURNS SETOF bigint LANGUAGE sql STABLE AS $$
    WITH editors (person, key) AS (
        SELECT request.requested_by_id, request.requested_with_id
        UNION ALL SELECT edited_by_id, edited_with_id
            FROM governance_modelversion WHERE id = request.version_id
        UNION ALL SELECT created_by_id, NULL
            FROM governance_modelversion WHERE id = request.version_id
        UNION ALL SELECT edited_by_id, edited_with_id
            FROM governance_registeredmodel WHERE id = request.model_id
        UNION ALL SELECT edited_by_id, edited_with_id
            FROM governance_policyversion WHERE id = request.draft_id
        UNION ALL SELECT created_by_id, NULL
            FROM governance_policyversion WHERE id = request.draft_id
    )
    SELECT person FROM editors WHERE person IS NOT NULL
    UNION SELECT owner_id FROM governance_apikey k JOIN editors e ON e.key = k.id
    UNION SELECT created_by_id FROM governance_apikey k JOIN editors e ON e.key = k.id
        WHERE created_by_id IS NOT NULL
$$;

CREATE FUNCTION driftguard_quorums_are_there(request bigint)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT count(*) > 0 AND bool_and(stage.quorum <= (
        SELECT count(DISTINCT vote.principal_id) FROM governance_approvalvote vote
        WHERE vote.stage_id = stage.id AND vote.decision = 'approve'
    ))
    FROM governance_approvalstage stage WHERE stage.request_id = request
$$;

CREATE FUNCTION driftguard_request_begins() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE rows_of_others int;
BEGIN
    IF NEW.status <> 'pending' OR NEW.decided_at IS NOT NULL
            OR NEW.applied_at IS NOT NULL OR NEW.used_at IS NOT NULL THEN
        PERFORM driftguard_refuse('a request for approval begins as pending');
    END IF;
    IF EXISTS (
        SELECT 1 FROM driftguard_people_behind(NEW) AS person
        WHERE NOT person = ANY (NEW.barred)
    ) THEN
        PERFORM driftguard_refuse(
            'who asked for it, made or changed the subject must be barred from voting');
    END IF;
    SELECT count(*) INTO rows_of_others FROM (
        SELECT organization_id FROM governance_registeredmodel WHERE id = NEW.model_id
        UNION ALL SELECT organization_id FROM governance_modelversion
            WHERE id = NEW.version_id
        UNION ALL SELECT organization_id FROM governance_policyversion
            WHERE id IN (NEW.draft_id, NEW.policy_version_id)
    ) subject WHERE organization_id <> NEW.organization_id;
    IF rows_of_others > 0 OR NEW.version_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM governance_modelversion
        WHERE id = NEW.version_id AND model_id = NEW.model_id
    ) THEN
        PERFORM driftguard_refuse('a request is about what is of its organization');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION driftguard_request_goes_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.organization_id, NEW.kind, NEW.model_id, NEW.version_id,
            NEW.draft_id, NEW.label, NEW.proposal, NEW.reason, NEW.subject, NEW.digest,
            NEW.evidence_id, NEW.policy_version_id, NEW.requested_by_id,
            NEW.requested_by_label, NEW.requested_with_id, NEW.barred,
            NEW.auto_approval, NEW.submitted_at, NEW.expires_at)
        IS DISTINCT FROM
        (OLD.id, OLD.organization_id, OLD.kind, OLD.model_id, OLD.version_id,
            OLD.draft_id, OLD.label, OLD.proposal, OLD.reason, OLD.subject, OLD.digest,
            OLD.evidence_id, OLD.policy_version_id, OLD.requested_by_id,
            OLD.requested_by_label, OLD.requested_with_id, OLD.barred,
            OLD.auto_approval, OLD.submitted_at, OLD.expires_at) THEN
        PERFORM driftguard_refuse('what is asked for, and by whom, stays as it was');
    END IF;
    IF NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    IF NOT (OLD.status = 'pending' AND NEW.status IN ('approved', 'rejected',
                'changes_requested', 'withdrawn', 'expired', 'stale')
            OR OLD.status = 'approved' AND NEW.status IN ('applied', 'withdrawn',
                'expired', 'stale')) THEN
        PERFORM driftguard_refuse(format(
            'a request that is %s does not become %s', OLD.status, NEW.status));
    END IF;
    IF NEW.status = 'approved' AND NEW.auto_approval IS NULL
            AND NOT driftguard_quorums_are_there(NEW.id) THEN
        PERFORM driftguard_refuse('the quorum of a stage is not there');
    END IF;
    IF NEW.status = 'approved' AND NEW.auto_approval IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM governance_policyversion WHERE id = NEW.policy_version_id
            AND (content #>> '{auto_approval,enabled}')::boolean
    ) THEN
        PERFORM driftguard_refuse('the policy lets the system approve nothing');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION driftguard_stage_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.organization_id, NEW.request_id, NEW.number, NEW.role, NEW.people,
            NEW.quorum, NEW.sla_hours, NEW.escalate_to)
        IS DISTINCT FROM
        (OLD.id, OLD.organization_id, OLD.request_id, OLD.number, OLD.role, OLD.people,
            OLD.quorum, OLD.sla_hours, OLD.escalate_to)
        OR OLD.opened_at IS NOT NULL AND NEW.opened_at IS DISTINCT FROM OLD.opened_at
    THEN
        PERFORM driftguard_refuse('a stage stays as the policy named it');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION driftguard_vote_counts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    request governance_approvalrequest;
    stage governance_approvalstage;
BEGIN
    SELECT * INTO request FROM governance_approvalrequest
        WHERE id = NEW.request_id FOR NO KEY UPDATE;
    SELECT * INTO stage FROM governance_approvalstage WHERE id = NEW.stage_id;
    IF request.status <> 'pending' OR stage.request_id <> request.id
            OR stage.number <> request.stage OR stage.opened_at IS NULL
            OR request.organization_id <> NEW.organization_id THEN
        PERFORM driftguard_refuse('a vote is cast in the open stage of its request');
    END IF;
    IF NEW.voter_id = ANY (request.barred) OR NEW.principal_id = ANY (request.barred)
            OR EXISTS (
                SELECT 1 FROM driftguard_people_behind(request) AS person
                WHERE person IN (NEW.voter_id, NEW.principal_id)
            ) THEN
        PERFORM driftguard_refuse(
            'who asked for it, made or changed the subject does not vote on it');
    END IF;
    IF EXISTS (
        SELECT 1 FROM governance_approvalvote WHERE request_id = NEW.request_id
            AND (voter_id IN (NEW.voter_id, NEW.principal_id)
                OR principal_id IN (NEW.voter_id, NEW.principal_id))
    ) THEN
        PERFORM driftguard_refuse('everybody has one vote over all stages');
    END IF;
    IF NOT EXISTS (SELECT 1 FROM governance_stageapprover
            WHERE stage_id = stage.id AND user_id = NEW.principal_id)
        OR (SELECT count(DISTINCT m.user_id) FROM governance_membership m
            JOIN governance_user u ON u.id = m.user_id AND u.is_active
            WHERE m.organization_id = NEW.organization_id AND m.role = NEW.role
                AND m.user_id IN (NEW.voter_id, NEW.principal_id)
                AND m.ended_at IS NULL AND m.granted_at <= stage.opened_at
                AND (NOT m.needs_confirmation OR m.confirmed_at <= stage.opened_at)
        ) < (CASE WHEN NEW.voter_id = NEW.principal_id THEN 1 ELSE 2 END)
        OR stage.role <> '' AND stage.role <> NEW.role
    THEN
        PERFORM driftguard_refuse('the voter is no approver of this stage');
    END IF;
    IF NEW.voter_id <> NEW.principal_id AND NOT EXISTS (
        SELECT 1 FROM governance_delegation WHERE id = NEW.delegation_id
            AND organization_id = NEW.organization_id
            AND delegator_id = NEW.principal_id AND delegate_id = NEW.voter_id
            AND role = NEW.role AND confirmed_at IS NOT NULL AND revoked_at IS NULL
            AND NEW.cast_at >= starts_at AND NEW.cast_at < ends_at
    ) THEN
        PERFORM driftguard_refuse('there is no delegation for this vote');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION driftguard_delegation_holds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (
        (NEW.id, NEW.organization_id, NEW.delegator_id, NEW.delegate_id, NEW.role,
            NEW.starts_at, NEW.ends_at, NEW.created_by_id)
        IS DISTINCT FROM
        (OLD.id, OLD.organization_id, OLD.delegator_id, OLD.delegate_id, OLD.role,
            OLD.starts_at, OLD.ends_at, OLD.created_by_id)
        OR OLD.confirmed_at IS NOT NULL
            AND (NEW.confirmed_at, NEW.confirmed_by_id)
                IS DISTINCT FROM (OLD.confirmed_at, OLD.confirmed_by_id)
        OR OLD.revoked_at IS NOT NULL
            AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
    ) THEN
        PERFORM driftguard_refuse('a delegation stays as it was said');
    END IF;
    IF NEW.revoked_at IS NULL AND EXISTS (
        SELECT 1 FROM governance_delegation other
        WHERE other.organization_id = NEW.organization_id AND other.id <> NEW.id
            AND other.role = NEW.role AND other.revoked_at IS NULL
            AND other.starts_at < NEW.ends_at AND NEW.starts_at < other.ends_at
            AND (other.delegator_id = NEW.delegate_id
                OR other.delegate_id = NEW.delegator_id)
    ) THEN
        PERFORM driftguard_refuse('a delegation is not passed on');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION driftguard_subject_is_approved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM governance_approvalrequest
        WHERE id = NEW.request_id AND kind = 'deploy' AND version_id = NEW.version_id
            AND organization_id = NEW.organization_id
            AND status IN ('approved', 'applied')
            AND (NEW.change_id IS NOT NULL OR digest = NEW.digest)
    ) OR NEW.change_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM governance_approvalrequest change
        JOIN governance_modelversion version ON version.id = NEW.version_id
        WHERE change.id = NEW.change_id AND change.kind = 'change'
            AND change.status = 'approved' AND change.model_id = version.model_id
    ) THEN
        PERFORM driftguard_refuse('nothing is approved without an approved request');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION driftguard_version_is_approved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'approved'
            AND (TG_OP = 'INSERT' OR OLD.status <> 'approved')
            AND NOT EXISTS (SELECT 1 FROM governance_approvedsubject
                WHERE version_id = NEW.id) THEN
        PERFORM driftguard_refuse('a version is approved by an approved request only');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION driftguard_policy_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'draft' AND NOT (
        -- The recommended policy that an organization begins with.
        NEW.status = 'active'
        AND EXISTS (SELECT 1 FROM governance_policy
            WHERE id = NEW.policy_id AND is_default)
        AND NOT EXISTS (SELECT 1 FROM governance_policyversion
            WHERE organization_id = NEW.organization_id)
    ) THEN
        PERFORM driftguard_refuse('a policy version begins as a draft');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION driftguard_policy_goes_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.organization_id, NEW.policy_id, NEW.number)
            IS DISTINCT FROM (OLD.id, OLD.organization_id, OLD.policy_id, OLD.number)
        OR OLD.status <> 'draft' AND (NEW.content, NEW.content_hash, NEW.created_by_id,
                NEW.edited_by_id, NEW.edited_with_id, NEW.published_at)
            IS DISTINCT FROM (OLD.content, OLD.content_hash, OLD.created_by_id,
                OLD.edited_by_id, OLD.edited_with_id, OLD.published_at) THEN
        PERFORM driftguard_refuse('a policy version stays as it was published');
    END IF;
    IF NEW.status = OLD.status OR OLD.status = 'active' AND NEW.status = 'archived' THEN
        RETURN NEW;
    END IF;
    IF NOT (OLD.status = 'draft' AND NEW.status = 'active' AND EXISTS (
        SELECT 1 FROM governance_approvalrequest
        WHERE draft_id = NEW.id AND kind = 'policy' AND status = 'approved'
    )) THEN
        PERFORM driftguard_refuse('a policy is published by an approved request only');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION driftguard_policy_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.organization_id, NEW.is_default)
            IS DISTINCT FROM (OLD.id, OLD.organization_id, OLD.is_default) THEN
        PERFORM driftguard_refuse('which policy is the default one stays');
    END IF;
    RETURN NEW;
END $$;
"""
TRIGGERS = [
    # table, name, when, function
    ("approvalrequest", "request_begins", "INSERT", "request_begins"),
    ("approvalrequest", "request_goes_on", "UPDATE", "request_goes_on"),
    ("approvalstage", "stage_stays", "UPDATE", "stage_stays"),
    ("approvalvote", "vote_counts", "INSERT", "vote_counts"),
    ("delegation", "delegation_holds", "INSERT OR UPDATE", "delegation_holds"),
    ("approvedsubject", "subject_is_approved", "INSERT", "subject_is_approved"),
    ("modelversion", "version_is_approved", "INSERT OR UPDATE", "version_is_approved"),
    ("policyversion", "policy_begins", "INSERT", "policy_begins"),
    ("policyversion", "policy_goes_on", "UPDATE", "policy_goes_on"),
    ("policy", "policy_stays", "UPDATE", "policy_stays"),
]
# Tables whose rows are never deleted, and those whose rows never change either.
KEPT = [
    "approvalrequest",
    "approvalstage",
    "delegation",
    "policy",
    "policyversion",
]
FINAL = ["stageapprover", "approvalvote", "approvedsubject"]


def forward():
    for table, name, when, function in TRIGGERS:
        yield (
            f"CREATE TRIGGER {name} BEFORE {when} ON governance_{table} "
            f"FOR EACH ROW EXECUTE FUNCTION driftguard_{function}()"
        )
        yield f"ALTER TABLE governance_{table} ENABLE ALWAYS TRIGGER {name}"
    for table in [*KEPT, *FINAL]:
        verbs = ["DELETE", "TRUNCATE", *(["UPDATE"] if table in FINAL else [])]
        yield (
            f"CREATE TRIGGER {table}_is_history BEFORE {' OR '.join(verbs)} "
            f"ON governance_{table} FOR EACH STATEMENT "
            "EXECUTE FUNCTION driftguard_only_added()"
        )
        yield f"ALTER TABLE governance_{table} ENABLE ALWAYS TRIGGER {table}_is_history"
        yield f"REVOKE {', '.join(verbs)} ON governance_{table} FROM driftguard_app"


def backward():
    for table, name, _, _ in TRIGGERS:
        yield f"DROP TRIGGER {name} ON governance_{table}"
    for table in [*KEPT, *FINAL]:
        yield f"DROP TRIGGER {table}_is_history ON governance_{table}"
        yield f"GRANT UPDATE, DELETE ON governance_{table} TO driftguard_app"
    functions = {function for _, _, _, function in TRIGGERS} | {"only_added"}
    for function in sorted(functions):
        yield f"DROP FUNCTION driftguard_{function}()"
    yield "DROP FUNCTION driftguard_quorums_are_there(bigint)"
    yield "DROP FUNCTION driftguard_people_behind(governance_approvalrequest)"
    yield "DROP FUNCTION driftguard_refuse(text)"


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0015_numbered_requests"),
    ]

    operations = [
        migrations.RunSQL(FUNCTIONS, migrations.RunSQL.noop),
        migrations.RunSQL(list(forward()), list(backward())),
    ]
