"""One way into the trail: a function that numbers, chains and dates entries itself.

The application hands over what an entry says, cut at the three places that only the
database knows: `at` (its clock), `prev` and `seq` (the head, under its lock). It has no
right to write entries, payloads or heads in another way, so that it can neither leave a
gap nor date anything back. All of that is one statement, so the head is locked for as
long as the commit takes and hardly longer.

A payload goes only together with the entry that says so: the function deletes what an
erasing entry names, and a trigger refuses any other deletion, the owner's too.
"""

from django.db import migrations

APPEND = """
CREATE FUNCTION public.governance_append_audit(
    trail bigint,
    starts text[],    -- of each entry, up to the value of "at"
    middles text[],   -- from there up to the value of "prev"
    ends text[],      -- from there up to the value of "seq"
    salts bytea[],
    contents bytea[]  -- payloads; null where an entry has none
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last bigint;
    previous bytea;
    moment timestamptz;
    shown text;
    content bytea;
    said jsonb;
    made bigint;
BEGIN
    SELECT seq, digest INTO last, previous FROM public.governance_audithead
        WHERE organization_id = trail FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO public.governance_audithead (organization_id, seq, digest)
            VALUES (trail, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;
        SELECT seq, digest INTO last, previous FROM public.governance_audithead
            WHERE organization_id = trail FOR UPDATE;
    END IF;
    -- Read only now: the lock may have been waited for.
    moment := clock_timestamp();
    shown := to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
    FOR i IN 1 .. cardinality(starts) LOOP
        last := last + 1;
        content := convert_to(
            starts[i] || shown || middles[i] || encode(previous, 'hex') || ends[i]
                || last || ',"v":1}',
            'UTF8'
        );
        said := convert_from(content, 'UTF8')::jsonb;
        IF said -> 'at' <> to_jsonb(shown) OR said -> 'org' <> to_jsonb(trail)
            OR said -> 'prev' <> to_jsonb(encode(previous, 'hex'))
            OR said -> 'seq' <> to_jsonb(last)
            OR (said ->> 'payload_hash' IS NULL) <> (contents[i] IS NULL)
        THEN
            RAISE EXCEPTION 'entry % of organization % does not say what it should',
                last, trail USING ERRCODE = 'check_violation';
        END IF;
        INSERT INTO public.governance_auditentry (
            organization_id, seq, body, at, actor_type, actor_id, actor_label, action,
            object_type, object_id, object_label, outcome, request_id,
            approval_id, override_id
        ) VALUES (
            trail, last, content, moment,
            said #>> '{actor,type}', said #>> '{actor,id}', said #>> '{actor,label}',
            said ->> 'action',
            said #>> '{object,type}', said #>> '{object,id}', said #>> '{object,label}',
            said ->> 'outcome', said ->> 'request_id',
            (said ->> 'approval_id')::bigint, (said ->> 'override_id')::bigint
        ) RETURNING id INTO made;
        IF contents[i] IS NOT NULL THEN
            INSERT INTO public.governance_auditpayload
                (organization_id, entry_id, salt, content)
                VALUES (trail, made, salts[i], contents[i]);
        END IF;
        IF said ->> 'action' IN ('payload.erased', 'payload.purged') THEN
            PERFORM set_config('driftguard.erasure', made::text, true);
            DELETE FROM public.governance_auditpayload payload
                USING public.governance_auditentry entry,
                    jsonb_array_elements(said #> '{facts,erased}') span
                WHERE entry.id = payload.entry_id
                    AND entry.organization_id = trail
                    AND entry.seq BETWEEN (span ->> 0)::bigint AND (span ->> 1)::bigint;
            PERFORM set_config('driftguard.erasure', '', true);
        END IF;
        previous := sha256(content);
    END LOOP;
    UPDATE public.governance_audithead SET seq = last, digest = previous
        WHERE organization_id = trail;
    RETURN last;
END
$$;
REVOKE ALL ON FUNCTION public.governance_append_audit(
    bigint, text[], text[], text[], bytea[], bytea[]
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.governance_append_audit(
    bigint, text[], text[], text[], bytea[], bytea[]
) TO driftguard_app;
REVOKE INSERT ON governance_auditentry FROM driftguard_app;
REVOKE INSERT ON governance_auditpayload FROM driftguard_app;
REVOKE INSERT, UPDATE ON governance_audithead FROM driftguard_app;
"""
APPEND_BACK = """
GRANT INSERT ON governance_auditentry TO driftguard_app;
GRANT INSERT ON governance_auditpayload TO driftguard_app;
GRANT INSERT, UPDATE ON governance_audithead TO driftguard_app;
DROP FUNCTION public.governance_append_audit(
    bigint, text[], text[], text[], bytea[], bytea[]
);
"""

ERASURE = """
CREATE FUNCTION public.driftguard_refuse_silent_erasure() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.governance_auditentry entry
            JOIN public.governance_auditentry erased
                ON erased.organization_id = entry.organization_id,
            jsonb_array_elements(
                convert_from(entry.body, 'UTF8')::jsonb #> '{facts,erased}'
            ) span
        WHERE entry.id =
                nullif(current_setting('driftguard.erasure', true), '')::bigint
            AND entry.action IN ('payload.erased', 'payload.purged')
            AND erased.id = OLD.entry_id
            AND erased.seq < entry.seq
            AND erased.seq BETWEEN (span ->> 0)::bigint AND (span ->> 1)::bigint
    ) THEN
        RAISE EXCEPTION 'a payload goes only with the entry that says so'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;
DROP TRIGGER audit_payload_is_final ON governance_auditpayload;
CREATE TRIGGER audit_payload_is_final
    BEFORE UPDATE OR TRUNCATE ON governance_auditpayload
    FOR EACH STATEMENT EXECUTE FUNCTION driftguard_refuse_change();
CREATE TRIGGER audit_payload_goes_with_an_entry
    BEFORE DELETE ON governance_auditpayload
    FOR EACH ROW EXECUTE FUNCTION driftguard_refuse_silent_erasure();
CREATE TRIGGER audit_tile_is_final
    BEFORE UPDATE OR DELETE OR TRUNCATE ON governance_audittile
    FOR EACH STATEMENT EXECUTE FUNCTION driftguard_refuse_change();
CREATE TRIGGER checkpoint_is_final
    BEFORE UPDATE OR DELETE OR TRUNCATE ON governance_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION driftguard_refuse_change();

ALTER TABLE governance_auditpayload ENABLE ALWAYS TRIGGER audit_payload_is_final;
ALTER TABLE governance_auditpayload
    ENABLE ALWAYS TRIGGER audit_payload_goes_with_an_entry;
ALTER TABLE governance_audittile ENABLE ALWAYS TRIGGER audit_tile_is_final;
ALTER TABLE governance_checkpoint ENABLE ALWAYS TRIGGER checkpoint_is_final;

REVOKE UPDATE, DELETE, TRUNCATE ON governance_audittile FROM driftguard_app;
REVOKE UPDATE, DELETE, TRUNCATE ON governance_checkpoint FROM driftguard_app;
"""
ERASURE_BACK = """
DROP TRIGGER audit_payload_is_final ON governance_auditpayload;
DROP TRIGGER audit_payload_goes_with_an_entry ON governance_auditpayload;
DROP TRIGGER audit_tile_is_final ON governance_audittile;
DROP TRIGGER checkpoint_is_final ON governance_checkpoint;
CREATE TRIGGER audit_payload_is_final
    BEFORE UPDATE OR DELETE OR TRUNCATE ON governance_auditpayload
    FOR EACH STATEMENT EXECUTE FUNCTION driftguard_refuse_change();
ALTER TABLE governance_auditpayload ENABLE ALWAYS TRIGGER audit_payload_is_final;
DROP FUNCTION public.driftguard_refuse_silent_erasure();
"""

# The new columns of what was written before; switching the trigger off for it takes the
# owner, and changes nothing that an entry says.
FILL = """
ALTER TABLE governance_auditentry DISABLE TRIGGER audit_entry_is_final;
UPDATE governance_auditentry SET
    approval_id = (convert_from(body, 'UTF8')::jsonb ->> 'approval_id')::bigint,
    override_id = (convert_from(body, 'UTF8')::jsonb ->> 'override_id')::bigint
    WHERE convert_from(body, 'UTF8')::jsonb ->> 'approval_id' IS NOT NULL
        OR convert_from(body, 'UTF8')::jsonb ->> 'override_id' IS NOT NULL;
ALTER TABLE governance_auditentry ENABLE ALWAYS TRIGGER audit_entry_is_final;
"""


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0009_checkpoints"),
    ]

    operations = [
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(APPEND, APPEND_BACK),
        migrations.RunSQL(ERASURE, ERASURE_BACK),
    ]
