-- CREATE SCHEMA IF NOT EXISTS asks for the right to create schemas even where there is one already.
-- The comment tells the downgrade that the schema is ours to drop.
DO $do$
BEGIN
  IF to_regnamespace({schema_literal}) IS NULL THEN
    CREATE SCHEMA {schema};
    COMMENT ON SCHEMA {schema} IS 'Message store, created by mdb_sqla';
  END IF;
END
$do$;
