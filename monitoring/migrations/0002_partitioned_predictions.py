"""The table of predictions, by month of arrival, and the function that adds months.

The bounds are UUIDv7s: a month begins at the identifier whose 48 bits of milliseconds
are its first moment. The application has no right to make tables, so the function runs
with the rights of whoever migrates. It takes no text from outside.
"""

from django.db import migrations

TABLE = """
CREATE TABLE public.monitoring_prediction (
    id uuid NOT NULL PRIMARY KEY,
    organization_id bigint NOT NULL,
    model_id bigint NOT NULL,
    version_id bigint NOT NULL,
    receipt_id uuid NOT NULL,
    "timestamp" timestamptz NOT NULL,
    entity_id text,
    features text NOT NULL,
    prediction text NOT NULL,
    prediction_value double precision,
    probabilities double precision[],
    confidence double precision,
    probability_of_prediction double precision,
    latency_ms double precision,
    verdict varchar(12) NOT NULL,
    override_id bigint
) PARTITION BY RANGE (id);
CREATE INDEX prediction_by_time
    ON public.monitoring_prediction (model_id, "timestamp");
CREATE INDEX prediction_by_entity
    ON public.monitoring_prediction (model_id, entity_id)
    WHERE entity_id IS NOT NULL;
CREATE TABLE public.monitoring_prediction_rest
    PARTITION OF public.monitoring_prediction DEFAULT;
"""

# A month that was forgotten may have rows in the default partition already: they move
# before the new partition is attached, which would refuse otherwise.
FUNCTIONS = """
CREATE FUNCTION public.monitoring_uuid7_at(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT rpad(
        lpad(to_hex(trunc(extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0'
    )::uuid
$$;

CREATE FUNCTION public.monitoring_create_partitions(months_ahead integer)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '3s'
AS $$
DECLARE
    month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    made integer := 0;
    lower_bound uuid;
    upper_bound uuid;
    name text;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'months_ahead is %, not between 0 and 24', months_ahead;
    END IF;
    -- Two callers would otherwise both find the same month missing.
    PERFORM pg_advisory_xact_lock(hashtext('monitoring_create_partitions'));
    FOR step IN 0..months_ahead LOOP
        name := 'monitoring_prediction_' || to_char(month, 'YYYY_MM');
        IF to_regclass('public.' || name) IS NULL THEN
            lower_bound := public.monitoring_uuid7_at(month AT TIME ZONE 'UTC');
            upper_bound := public.monitoring_uuid7_at(
                (month + interval '1 month') AT TIME ZONE 'UTC'
            );
            EXECUTE format(
                'CREATE TABLE public.%I (LIKE public.monitoring_prediction '
                'INCLUDING DEFAULTS INCLUDING STORAGE)', name
            );
            EXECUTE format(
                'WITH moved AS (DELETE FROM public.monitoring_prediction_rest '
                'WHERE id >= %L AND id < %L RETURNING *) '
                'INSERT INTO public.%I SELECT * FROM moved',
                lower_bound, upper_bound, name
            );
            EXECUTE format(
                'ALTER TABLE public.monitoring_prediction ATTACH PARTITION public.%I '
                'FOR VALUES FROM (%L) TO (%L)', name, lower_bound, upper_bound
            );
            -- The rights on the whole table are enough, and they allow less.
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'driftguard_app') THEN
                EXECUTE format('REVOKE ALL ON public.%I FROM driftguard_app', name);
            END IF;
            made := made + 1;
        END IF;
        month := month + interval '1 month';
    END LOOP;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION public.monitoring_create_partitions(integer) FROM PUBLIC;
SELECT public.monitoring_create_partitions(3);
"""

# Anyone may run the migrations; only with the two roles there is somebody to allow it.
PRIVILEGES = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'driftguard_app') THEN
        GRANT EXECUTE ON FUNCTION public.monitoring_create_partitions(integer)
            TO driftguard_app;
        REVOKE UPDATE, TRUNCATE ON public.monitoring_prediction FROM driftguard_app;
        REVOKE INSERT, UPDATE, DELETE, TRUNCATE
            ON public.monitoring_prediction_rest FROM driftguard_app;
    END IF;
END
$$;
"""

REMOVAL = """
DROP FUNCTION public.monitoring_create_partitions(integer);
DROP FUNCTION public.monitoring_uuid7_at(timestamptz);
DROP TABLE public.monitoring_prediction;
"""

# Arrow streams and tallies are read whole and hardly compress: don't try.
COLUMNS_KEPT_PLAIN = [
    ("monitoring_segment", "data"),
    ("monitoring_profile", "columns"),
    ("monitoring_profile", "outcomes"),
    ("monitoring_baseline", "features"),
    ("monitoring_baseline", "labeled"),
    ("monitoring_baseline", "grid_data"),
    ("monitoring_baseline", "outcome_data"),
]
STORAGE = ";\n".join(
    f"ALTER TABLE public.{table} ALTER COLUMN {column} SET STORAGE EXTERNAL"
    for table, column in COLUMNS_KEPT_PLAIN
)


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0001_initial")]

    operations = [
        migrations.RunSQL(TABLE + FUNCTIONS + PRIVILEGES, REMOVAL),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
    ]
