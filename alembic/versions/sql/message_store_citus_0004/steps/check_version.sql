DO $do$
DECLARE
  _managed constant text := obj_description({schema_literal.messages}::regclass, 'pg_class');
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('mdb_sqla:' || {schema_literal}, 0));

  IF (substring(_managed FROM '^Messages, managed by mdb_sqla: version (\d{4})$') >= '0004') IS NOT TRUE THEN
    RAISE EXCEPTION 'The message store in schema % is not at version 0004 or later, but: %', {schema_literal}, coalesce(_managed, 'unknown')
      USING CONSTRAINT = 'unrecognized_store', SCHEMA = {schema_name};
  END IF;

  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
    RAISE EXCEPTION 'A store can''t be distributed in this database: it has no extension citus'
      USING
        CONSTRAINT = 'unrecognized_store',
        SCHEMA = {schema_name},
        HINT = 'Run CREATE EXTENSION citus on every node, and citus_add_node on the coordinator.';
  END IF;

  -- Positions of a distributed store start at 1 in each category. Those of messages that are there already, and those that
  -- consumers have reached, count all categories: a consumer would skip what is written below its position.
  LOCK TABLE {schema}.messages IN ACCESS EXCLUSIVE MODE;

  IF EXISTS (SELECT FROM {schema}.messages)
    OR EXISTS (SELECT FROM {schema}.consumer_slots)
    OR EXISTS (SELECT FROM {schema}.dead_letters)
    OR EXISTS (SELECT FROM {schema}.stream_heads)
    OR EXISTS (SELECT FROM {schema}.deleted_positions)
    OR EXISTS (SELECT FROM {schema}.retention_policies)
  THEN
    RAISE EXCEPTION 'Only an empty store can be distributed: schema % has messages, or state of consumers or retention',
      {schema_literal}
      USING
        CONSTRAINT = 'data_exists',
        SCHEMA = {schema_name},
        HINT = 'Install another store, in another schema or database, and write the messages to it.';
  END IF;
END
$do$;
