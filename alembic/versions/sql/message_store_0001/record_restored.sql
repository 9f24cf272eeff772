-- For a store that was restored from a dump of the schema alone: its version table is there, without its rows.
INSERT INTO {schema}.mdb_sqla_version (version_num)
SELECT
  CASE
    WHEN to_regclass({schema_literal.consumers}) IS NOT NULL THEN 'message_store_0004'
    WHEN to_regclass({schema_literal.consumer_slots}) IS NOT NULL THEN 'message_store_0003'
    WHEN to_regprocedure({schema_literal.lock_granularity()}) IS NOT NULL THEN 'message_store_0002'
    ELSE 'message_store_0001'
  END
WHERE NOT EXISTS (SELECT FROM {schema}.mdb_sqla_version)
  AND obj_description(to_regclass({schema_literal.messages}), 'pg_class') LIKE 'Messages, managed by mdb_sqla%';
