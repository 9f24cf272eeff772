-- The script of a downgrade may find a store that never had this version.
DO $do$
BEGIN
  IF to_regprocedure({schema_literal.query_items(jsonb)}) IS NOT NULL THEN
    REVOKE ALL ON FUNCTION
      {schema}.check_conditions(jsonb, jsonb, jsonb, boolean),
      {schema}.check_query(jsonb),
      {schema}.find_matches(jsonb, bigint, bigint, bigint),
      {schema}.get_query_messages(jsonb, bigint, bigint, bigint),
      {schema}.locks_categories(),
      {schema}.query_items(jsonb),
      {schema}.unmet_condition(jsonb, text[]),
      {schema}.write_conditionally(jsonb, jsonb, jsonb, boolean)
      FROM message_store, message_store_reader, message_store_writer, message_store_consumer;
  END IF;
END
$do$;
