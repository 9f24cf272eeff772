-- Drops the schema only if the upgrade created it and nothing else is left in it: it may hold objects of others, or the
-- version table of the migration that is running.
DO $do$
BEGIN
  IF obj_description(to_regnamespace({schema_literal}), 'pg_namespace') = 'Message store, created by mdb_sqla' THEN
    DROP SCHEMA {schema};
  END IF;
EXCEPTION WHEN dependent_objects_still_exist THEN
  NULL;
END
$do$;
