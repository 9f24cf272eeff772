-- Only the owner of the store deletes messages and sets policies. A writer inserts a head to find out whether there is a
-- newer one, and takes it back: see check_deletions().
DO $do$
BEGIN
  GRANT SELECT ON
    {schema}.stream_heads, {schema}.deleted_positions, {schema}.retention_policies, {schema}.deletions
    TO message_store, message_store_reader, message_store_writer, message_store_consumer;
  GRANT INSERT ON {schema}.stream_heads TO message_store, message_store_writer, message_store_consumer;
  GRANT EXECUTE ON FUNCTION {schema}.check_deletions(text[])
    TO message_store, message_store_reader, message_store_writer, message_store_consumer;
END
$do$;
