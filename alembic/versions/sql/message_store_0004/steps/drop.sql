-- The script of a downgrade may find a store that never had this version.
DO $do$
BEGIN
  DROP FUNCTION IF EXISTS
    {schema}.write_conditionally(jsonb, jsonb, jsonb, boolean),
    {schema}.check_conditions(jsonb, jsonb, jsonb, boolean),
    {schema}.unmet_condition(jsonb, text[]),
    {schema}.get_query_messages(jsonb, bigint, bigint, bigint),
    {schema}.find_matches(jsonb, bigint, bigint, bigint),
    {schema}.check_query(jsonb),
    {schema}.query_items(jsonb),
    {schema}.locks_categories();
  DROP INDEX IF EXISTS {schema}.messages_tags;

  IF obj_description({schema_literal.messages}::regclass, 'pg_class') = 'Messages, managed by mdb_sqla: version 0004' THEN
    COMMENT ON TABLE {schema}.messages IS 'Messages, managed by mdb_sqla: version 0003';
  END IF;
END
$do$;
