-- The script of a downgrade may find a store that never had this version.
DO $do$
BEGIN
  IF obj_description({schema_literal.messages}::regclass, 'pg_class') = 'Messages, managed by mdb_sqla: version 0005' THEN
    COMMENT ON TABLE {schema}.messages IS 'Messages, managed by mdb_sqla: version 0004';
  END IF;
END
$do$;
