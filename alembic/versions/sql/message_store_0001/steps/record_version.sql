-- The version of the schema, which a dump of the schema alone keeps, whoever ran the revision.
COMMENT ON TABLE {schema}.messages IS 'Messages, managed by mdb_sqla: version 0001';
