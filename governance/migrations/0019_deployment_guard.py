"""The database refuses what the deeds refuse, whoever asks it.

A deployment rests on an approval of that very version, on an override in force, or on
what the policy allows; neither it nor an override is rewritten, prolonged or deleted.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION public.driftguard_check_deployment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE
    content jsonb;
    setting jsonb;
BEGIN
    IF NOT EXISTS (
        SELECT FROM governance_modelversion
        WHERE id = NEW.version_id AND model_id = NEW.model_id
            AND organization_id = NEW.organization_id
    ) THEN
        RAISE EXCEPTION 'a deployment is of a version of its model'
            USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT p.content INTO content FROM governance_policyversion p
        WHERE p.id = NEW.policy_version_id AND p.organization_id = NEW.organization_id
            AND p.status = 'active';
    IF content IS NULL THEN
        RAISE EXCEPTION 'a deployment is judged by a policy in force'
            USING ERRCODE = 'restrict_violation';
    END IF;
    setting := coalesce(content -> 'environments' -> NEW.environment, '{}');
    IF NEW.mode <> 'prevent' AND NEW.mode <> coalesce(setting ->> 'mode', 'prevent') THEN
        RAISE EXCEPTION 'the policy prevents in %', NEW.environment
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.approval_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM governance_approvalrequest
        WHERE id = NEW.approval_id AND kind = 'deploy' AND status = 'applied'
            AND version_id = NEW.version_id
    ) THEN
        RAISE EXCEPTION 'the approval is of something else, or was not applied'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.override_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM governance_override
        WHERE id = NEW.override_id AND version_id = NEW.version_id
            AND environment = NEW.environment AND status = 'active'
            AND expires_at > NEW.started_at
    ) THEN
        RAISE EXCEPTION 'the override is not in force'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.kind = 'break_glass'
        AND NOT coalesce((content -> 'break_glass' ->> 'allowed')::boolean, false)
    THEN
        RAISE EXCEPTION 'the policy allows no break-glass'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.kind = 'intake' AND EXISTS (
        SELECT FROM governance_deployment
        WHERE model_id = NEW.model_id AND environment = NEW.environment
    ) THEN
        RAISE EXCEPTION 'a model is adopted once'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION public.driftguard_keep_deployment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF (NEW.organization_id, NEW.model_id, NEW.version_id, NEW.environment, NEW.kind,
            NEW.started_at, NEW.requested_by_id, NEW.requested_label, NEW.mode,
            NEW.gate, NEW.policy_version_id, NEW.reason)
        IS DISTINCT FROM
        (OLD.organization_id, OLD.model_id, OLD.version_id, OLD.environment, OLD.kind,
            OLD.started_at, OLD.requested_by_id, OLD.requested_label, OLD.mode,
            OLD.gate, OLD.policy_version_id, OLD.reason)
        OR NEW.approval_id IS DISTINCT FROM OLD.approval_id
        OR NEW.until IS DISTINCT FROM OLD.until
        OR NEW.ratify_by IS DISTINCT FROM OLD.ratify_by
        OR NEW.due_at IS DISTINCT FROM OLD.due_at
    THEN
        RAISE EXCEPTION 'a deployment stays as it was made'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.suspended_at IS NOT NULL
            AND NEW.suspended_at IS DISTINCT FROM OLD.suspended_at)
        OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at)
        OR (OLD.ratified_at IS NOT NULL
            AND NEW.ratified_at IS DISTINCT FROM OLD.ratified_at)
    THEN
        RAISE EXCEPTION 'what has ended goes on as a deployment of its own'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.override_id IS DISTINCT FROM OLD.override_id AND (
        OLD.override_id IS NULL OR NOT EXISTS (
            SELECT FROM governance_override
            WHERE id = NEW.override_id AND extends_id = OLD.override_id
                AND status = 'active'
        )
    ) THEN
        RAISE EXCEPTION 'a deployment goes over to an extension of its override only'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION public.driftguard_keep_override() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'proposed' OR NEW.activated_at IS NOT NULL THEN
            RAISE EXCEPTION 'an override begins as a proposal'
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.organization_id, NEW.version_id, NEW.environment, NEW.requested_by_id,
            NEW.requested_label, NEW.requested_at, NEW.barred)
        IS DISTINCT FROM
        (OLD.organization_id, OLD.version_id, OLD.environment, OLD.requested_by_id,
            OLD.requested_label, OLD.requested_at, OLD.barred)
    THEN
        RAISE EXCEPTION 'what an override is about stays as it was proposed'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.status IN ('approved', 'active', 'expired', 'revoked')
        AND ((NEW.rules, NEW.justification, NEW.expires_at, NEW.longest)
            IS DISTINCT FROM
            (OLD.rules, OLD.justification, OLD.expires_at, OLD.longest)
        OR NEW.starts_at IS DISTINCT FROM OLD.starts_at
        OR NEW.decided_by_id IS DISTINCT FROM OLD.decided_by_id)
    THEN
        RAISE EXCEPTION 'what was approved stays so: an extension is a new review'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.activated_at IS NOT NULL
        AND NEW.activated_at IS DISTINCT FROM OLD.activated_at
    THEN
        RAISE EXCEPTION 'an override came into force once'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status <> OLD.status AND NOT (CASE OLD.status
        WHEN 'proposed' THEN NEW.status IN
            ('under_review', 'rejected', 'expired', 'revoked')
        WHEN 'under_review' THEN NEW.status IN
            ('approved', 'rejected', 'expired', 'revoked')
        WHEN 'approved' THEN NEW.status IN ('active', 'expired', 'revoked')
        WHEN 'active' THEN NEW.status IN ('expired', 'revoked')
        WHEN 'rejected' THEN NEW.status = 'proposed'
        ELSE false
    END) THEN
        RAISE EXCEPTION 'an override that is % can''t become %', OLD.status, NEW.status
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER deployment_is_let_through
    BEFORE INSERT ON governance_deployment
    FOR EACH ROW EXECUTE FUNCTION driftguard_check_deployment();
CREATE TRIGGER deployment_stays
    BEFORE UPDATE ON governance_deployment
    FOR EACH ROW EXECUTE FUNCTION driftguard_keep_deployment();
CREATE TRIGGER override_goes_forward
    BEFORE INSERT OR UPDATE ON governance_override
    FOR EACH ROW EXECUTE FUNCTION driftguard_keep_override();
ALTER TABLE governance_deployment ENABLE ALWAYS TRIGGER deployment_is_let_through;
ALTER TABLE governance_deployment ENABLE ALWAYS TRIGGER deployment_stays;
ALTER TABLE governance_override ENABLE ALWAYS TRIGGER override_goes_forward;
REVOKE DELETE, TRUNCATE ON governance_deployment, governance_override
    FROM driftguard_app;
"""
BACKWARD = """
DROP TRIGGER deployment_is_let_through ON governance_deployment;
DROP TRIGGER deployment_stays ON governance_deployment;
DROP TRIGGER override_goes_forward ON governance_override;
DROP FUNCTION public.driftguard_check_deployment();
DROP FUNCTION public.driftguard_keep_deployment();
DROP FUNCTION public.driftguard_keep_override();
GRANT DELETE ON governance_deployment, governance_override TO driftguard_app;
"""


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0018_overrides_and_deployments"),
    ]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
