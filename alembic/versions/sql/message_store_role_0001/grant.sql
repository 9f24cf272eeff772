-- The role that clients of Message DB in other languages log in as. An existing one is used as it is,
-- which needs no right to create roles; the comment tells the downgrade whether it is ours to drop.
DO $do$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'message_store') THEN
    BEGIN
      CREATE ROLE message_store WITH LOGIN;
      COMMENT ON ROLE message_store IS 'Message store, created by mdb_sqla';
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- Another database's upgrade was faster.
    END;
  END IF;

  GRANT USAGE ON SCHEMA {schema} TO message_store;
  GRANT SELECT, INSERT ON {schema}.messages TO message_store;
  GRANT USAGE, SELECT ON SEQUENCE {schema}.messages_global_position_seq TO message_store;
  GRANT SELECT ON
    {schema}.stream_summary, {schema}.type_summary, {schema}.stream_type_summary,
    {schema}.type_stream_summary, {schema}.category_type_summary, {schema}.type_category_summary
    TO message_store;
  GRANT EXECUTE ON FUNCTION
    {schema}.acquire_lock(varchar),
    {schema}.boolean_setting(text),
    {schema}.cardinal_id(varchar),
    {schema}.category(varchar),
    {schema}.conditional_command(text, text),
    {schema}.error_code(text),
    {schema}.get_category_messages(varchar, bigint, bigint, varchar, bigint, bigint, varchar),
    {schema}.get_last_stream_message(varchar, varchar),
    {schema}.get_stream_messages(varchar, bigint, bigint, varchar),
    {schema}.hash_64(varchar),
    {schema}.id(varchar),
    {schema}.is_category(varchar),
    {schema}.is_on(text),
    {schema}.message_store_version(),
    {schema}.stream_version(varchar),
    {schema}.write_message(varchar, varchar, varchar, jsonb, jsonb, bigint)
    TO message_store;
END
$do$;
