-- Deleted rows of a large table are cleaned up early and at full speed. Settings of the operator are kept.
DO $do$
BEGIN
  IF NOT EXISTS (
    SELECT
    FROM pg_class, unnest(reloptions) AS option
    WHERE pg_class.oid = {schema_literal.messages}::regclass AND option LIKE 'autovacuum_vacuum%'
  ) THEN
    ALTER TABLE {schema}.messages SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
  END IF;
END
$do$;
