"""The hash of each entry's leaf, beside it: the tree is made of what was written.

And two indexes for those who search the trail.

So a body that is changed later contradicts its own hash, and one can tell which.

What was said to be refused erases nothing any more, and no part of an entry may be
missing that the database fills in.
"""

from django.db import migrations, models

FILL = """
ALTER TABLE governance_auditentry DISABLE TRIGGER audit_entry_is_final;
UPDATE governance_auditentry SET leaf_hash = sha256('\\x00'::bytea || body);
ALTER TABLE governance_auditentry ENABLE ALWAYS TRIGGER audit_entry_is_final;
"""

APPEND = """
CREATE OR REPLACE FUNCTION public.governance_append_audit(
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
        IF said -> 'at' IS DISTINCT FROM to_jsonb(shown) OR said -> 'org' IS DISTINCT FROM to_jsonb(trail)
            OR said -> 'prev' IS DISTINCT FROM to_jsonb(encode(previous, 'hex'))
            OR said -> 'seq' IS DISTINCT FROM to_jsonb(last)
            OR (said ->> 'payload_hash' IS NULL) <> (contents[i] IS NULL)
        THEN
            RAISE EXCEPTION 'entry % of organization % does not say what it should',
                last, trail USING ERRCODE = 'check_violation';
        END IF;
        INSERT INTO public.governance_auditentry (
            organization_id, seq, body, leaf_hash, at,
            actor_type, actor_id, actor_label, action, object_type, object_id, object_label, outcome, request_id,
            approval_id, override_id
        ) VALUES (
            trail, last, content, sha256('\\x00'::bytea || content), moment,
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
        IF said ->> 'action' IN ('payload.erased', 'payload.purged')
            AND said ->> 'outcome' = 'done'
        THEN
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

CREATE OR REPLACE FUNCTION public.driftguard_refuse_silent_erasure() RETURNS trigger
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
            AND entry.outcome = 'done'
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
"""
BEFORE = """
CREATE OR REPLACE FUNCTION public.governance_append_audit(
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

CREATE OR REPLACE FUNCTION public.driftguard_refuse_silent_erasure() RETURNS trigger
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
"""


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0019_deployment_guard"),
    ]

    operations = [
        migrations.AddField(
            model_name="auditentry",
            name="leaf_hash",
            field=models.BinaryField(default=b"", max_length=32),
            preserve_default=False,
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(
                fields=["organization", "action", "seq"], name="audit_by_action"
            ),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["organization", "at"], name="audit_by_time"),
        ),
        migrations.RunSQL(APPEND, BEFORE),
    ]
