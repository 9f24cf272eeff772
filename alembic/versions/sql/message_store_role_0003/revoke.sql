-- The script of a downgrade may find a store that never had this version.
DO $do$
BEGIN
  IF to_regclass({schema_literal.operations}) IS NOT NULL THEN
    REVOKE EXECUTE
      ON FUNCTION {schema}.expired_messages(varchar, timestamp, bigint, bigint, bigint, bigint, boolean)
      FROM message_store, message_store_reader, message_store_writer, message_store_consumer;
    REVOKE ALL ON {schema}.operations
      FROM message_store, message_store_reader, message_store_writer, message_store_consumer;
  END IF;
END
$do$;
