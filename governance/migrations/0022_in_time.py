"""Nothing is dated back: votes and deployments count when the database hears of them.

A vote on a request whose time is over, and a deployment under an override that is, were
refused by the deeds alone, as a statement could name any moment as its own.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION public.driftguard_vote_in_time() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF EXISTS (
        SELECT FROM governance_approvalrequest
        WHERE id = NEW.request_id AND expires_at <= clock_timestamp()
    ) THEN
        RAISE EXCEPTION 'the time of the request is over'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION public.driftguard_deployment_in_time() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF EXISTS (
        SELECT FROM governance_override
        WHERE id = NEW.override_id AND expires_at <= clock_timestamp()
    ) THEN
        RAISE EXCEPTION 'the override is over'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER vote_in_time BEFORE INSERT ON governance_approvalvote
    FOR EACH ROW EXECUTE FUNCTION driftguard_vote_in_time();
CREATE TRIGGER deployment_in_time BEFORE INSERT ON governance_deployment
    FOR EACH ROW EXECUTE FUNCTION driftguard_deployment_in_time();
ALTER TABLE governance_approvalvote ENABLE ALWAYS TRIGGER vote_in_time;
ALTER TABLE governance_deployment ENABLE ALWAYS TRIGGER deployment_in_time;
"""
BACKWARD = """
DROP TRIGGER vote_in_time ON governance_approvalvote;
DROP TRIGGER deployment_in_time ON governance_deployment;
DROP FUNCTION public.driftguard_vote_in_time();
DROP FUNCTION public.driftguard_deployment_in_time();
"""


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0021_approval_comments"),
    ]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
