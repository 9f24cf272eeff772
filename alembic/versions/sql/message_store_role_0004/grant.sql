DO $do$
BEGIN
  GRANT EXECUTE ON FUNCTION
    {schema}.check_query(jsonb),
    {schema}.find_matches(jsonb, bigint, bigint, bigint),
    {schema}.get_query_messages(jsonb, bigint, bigint, bigint),
    {schema}.locks_categories(),
    {schema}.query_items(jsonb)
    TO message_store, message_store_reader, message_store_writer, message_store_consumer;
  GRANT EXECUTE ON FUNCTION
    {schema}.check_conditions(jsonb, jsonb, jsonb, boolean),
    {schema}.unmet_condition(jsonb, text[]),
    {schema}.write_conditionally(jsonb, jsonb, jsonb, boolean)
    TO message_store, message_store_writer, message_store_consumer;

  -- Citus does not grant columns of shards.
  IF to_regprocedure({schema_literal.write_category(text, jsonb, jsonb, boolean)}) IS NOT NULL THEN
    GRANT INSERT ON {schema}.messages TO message_store_writer, message_store_consumer;
  END IF;
END
$do$;
