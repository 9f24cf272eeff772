-- Only the owner of the store deletes messages and sets policies.
DO $do$
BEGIN
  GRANT SELECT ON
    {schema}.stream_heads, {schema}.deleted_positions, {schema}.retention_policies, {schema}.deletions
    TO message_store, message_store_reader, message_store_writer, message_store_consumer;
  GRANT EXECUTE ON FUNCTION
    {schema}.stream_head(text),
    {schema}.check_deletions(text[])
    TO message_store, message_store_reader, message_store_writer, message_store_consumer;
END
$do$;
