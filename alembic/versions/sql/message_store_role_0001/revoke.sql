-- The role itself goes only if the upgrade created it and no other database has a use for it.
DO $do$
BEGIN
  REVOKE ALL ON FUNCTION
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
    FROM message_store;
  REVOKE ALL ON
    {schema}.stream_summary, {schema}.type_summary, {schema}.stream_type_summary,
    {schema}.type_stream_summary, {schema}.category_type_summary, {schema}.type_category_summary
    FROM message_store;
  REVOKE ALL ON SEQUENCE {schema}.messages_global_position_seq FROM message_store;
  REVOKE ALL ON {schema}.messages FROM message_store;
  REVOKE ALL ON SCHEMA {schema} FROM message_store;

  IF EXISTS (
    SELECT
    FROM pg_roles
    WHERE rolname = 'message_store'
      AND shobj_description(oid, 'pg_authid') = 'Message store, created by mdb_sqla'
      AND NOT EXISTS (
        SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = pg_roles.oid
      )
  ) THEN
    DROP ROLE message_store;
  END IF;
END
$do$;
