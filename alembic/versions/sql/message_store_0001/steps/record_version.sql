-- The version of the schema. A dump of the schema alone includes it, and it does not depend on which history ran the
-- revision.
COMMENT ON TABLE {schema}.messages IS 'Messages, managed by mdb_sqla: version 0001';
