"""The trail is only ever appended to.

Two barriers, because each can be got around alone: the role that does the work has no
right to change an entry, and triggers refuse whoever has. ENABLE ALWAYS: they also
fire for a session that pretends to be a replica.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION driftguard_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the audit trail is only appended to',
        TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION driftguard_refuse_going_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.organization_id <> OLD.organization_id OR NEW.seq <= OLD.seq THEN
        RAISE EXCEPTION 'the audit trail of organization % only goes on from entry %',
            OLD.organization_id, OLD.seq USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_entry_is_final
    BEFORE UPDATE OR DELETE OR TRUNCATE ON governance_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION driftguard_refuse_change();
CREATE TRIGGER audit_payload_is_final
    BEFORE UPDATE OR DELETE OR TRUNCATE ON governance_auditpayload
    FOR EACH STATEMENT EXECUTE FUNCTION driftguard_refuse_change();
CREATE TRIGGER audit_head_stays
    BEFORE DELETE OR TRUNCATE ON governance_audithead
    FOR EACH STATEMENT EXECUTE FUNCTION driftguard_refuse_change();
CREATE TRIGGER audit_head_goes_on
    BEFORE UPDATE ON governance_audithead
    FOR EACH ROW EXECUTE FUNCTION driftguard_refuse_going_back();

ALTER TABLE governance_auditentry ENABLE ALWAYS TRIGGER audit_entry_is_final;
ALTER TABLE governance_auditpayload ENABLE ALWAYS TRIGGER audit_payload_is_final;
ALTER TABLE governance_audithead ENABLE ALWAYS TRIGGER audit_head_stays;
ALTER TABLE governance_audithead ENABLE ALWAYS TRIGGER audit_head_goes_on;

REVOKE UPDATE, DELETE, TRUNCATE ON governance_auditentry FROM driftguard_app;
REVOKE UPDATE, DELETE, TRUNCATE ON governance_auditpayload FROM driftguard_app;
REVOKE DELETE, TRUNCATE ON governance_audithead FROM driftguard_app;
"""
BACKWARD = """
DROP TRIGGER audit_entry_is_final ON governance_auditentry;
DROP TRIGGER audit_payload_is_final ON governance_auditpayload;
DROP TRIGGER audit_head_stays ON governance_audithead;
DROP TRIGGER audit_head_goes_on ON governance_audithead;
DROP FUNCTION driftguard_refuse_change();
DROP FUNCTION driftguard_refuse_going_back();
GRANT UPDATE, DELETE ON governance_auditentry TO driftguard_app;
GRANT UPDATE, DELETE ON governance_auditpayload TO driftguard_app;
GRANT DELETE ON governance_audithead TO driftguard_app;
"""


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0003_rate_limit"),
    ]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
