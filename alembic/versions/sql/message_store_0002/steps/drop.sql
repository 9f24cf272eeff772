-- The script of a downgrade may find a store that never had this version.
DO $do$
BEGIN
  DROP TRIGGER IF EXISTS messages_protected ON {schema}.messages;
  DROP FUNCTION IF EXISTS
    {schema}.check_deletions(text[]),
    {schema}.erase_stream(text, text, boolean),
    {schema}.delete_messages(bigint[], boolean),
    {schema}.lock_deletions(),
    {schema}.restore_messages(varchar, text),
    {schema}.finish_restore(varchar),
    {schema}.expired_messages(varchar, timestamp, bigint, bigint, bigint, bigint, boolean),
    {schema}.refuse_change();
  DROP TABLE IF EXISTS
    {schema}.stream_heads, {schema}.deleted_positions, {schema}.retention_policies, {schema}.deletions,
    {schema}.subject_keys;

  IF EXISTS (
    SELECT
    FROM pg_class
    WHERE pg_class.oid = {schema_literal.messages}::regclass
      AND reloptions @> ARRAY['autovacuum_vacuum_scale_factor=0.05', 'autovacuum_vacuum_cost_delay=0']
  ) THEN
    ALTER TABLE {schema}.messages RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_cost_delay);
  END IF;

  COMMENT ON TABLE {schema}.messages IS 'Messages, managed by mdb_sqla: version 0001';
END
$do$;
