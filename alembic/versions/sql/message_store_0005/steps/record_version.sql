COMMENT ON TABLE {schema}.messages IS 'Messages, managed by mdb_sqla: version 0005';
