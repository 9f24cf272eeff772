-- The script of a downgrade may find a store that never had this version.
DO $do$
BEGIN
  DROP TABLE IF EXISTS {schema}.operations;
  DROP INDEX IF EXISTS {schema}.dead_letters_stream;
  ALTER TABLE {schema}.consumers
    DROP CONSTRAINT IF EXISTS consumers_paused,
    DROP COLUMN IF EXISTS paused_at,
    DROP COLUMN IF EXISTS paused_by;

  IF obj_description({schema_literal.messages}::regclass, 'pg_class') = 'Messages, managed by mdb_sqla: version 0003' THEN
    COMMENT ON TABLE {schema}.messages IS 'Messages, managed by mdb_sqla: version 0002';
  END IF;
END
$do$;
