-- Roles that may change the state of consumers may record it. Not `role` and `performed_at`, which are left to their
-- defaults. Only the owner of the store changes or deletes what is recorded.
DO $do$
BEGIN
  GRANT SELECT ON {schema}.operations
    TO message_store, message_store_reader, message_store_writer, message_store_consumer;
  -- Which messages are due to be deleted; it only reads.
  GRANT EXECUTE
    ON FUNCTION {schema}.expired_messages(varchar, timestamp, bigint, bigint, bigint, bigint, boolean)
    TO message_store, message_store_reader, message_store_writer, message_store_consumer;
  GRANT INSERT (kind, subject, details, performed_by) ON {schema}.operations TO message_store, message_store_consumer;
END
$do$;
