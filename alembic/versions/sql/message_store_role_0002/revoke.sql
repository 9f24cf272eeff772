-- The script of a downgrade may find a store that never had this version.
DO $do$
BEGIN
  IF to_regclass({schema_literal.stream_heads}) IS NOT NULL THEN
    REVOKE ALL ON FUNCTION
      {schema}.check_deletions(text[])
      FROM message_store, message_store_reader, message_store_writer, message_store_consumer;
    REVOKE ALL ON
      {schema}.stream_heads, {schema}.deleted_positions, {schema}.retention_policies, {schema}.deletions
      FROM message_store, message_store_reader, message_store_writer, message_store_consumer;
  END IF;
END
$do$;
