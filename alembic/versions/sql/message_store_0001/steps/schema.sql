-- CREATE SCHEMA IF NOT EXISTS requires the right to create schemas even if the schema exists. The comment marks a schema
-- that a downgrade may drop.
DO $do$
BEGIN
  IF to_regnamespace({schema_literal}) IS NULL THEN
    CREATE SCHEMA {schema};
    COMMENT ON SCHEMA {schema} IS 'Message store, created by mdb_sqla';
  END IF;
END
$do$;
