-- Without CASCADE: what others built on the store makes the downgrade fail, and is never dropped.
DO $do$
BEGIN
  DROP VIEW
    {schema}.stream_summary, {schema}.type_summary, {schema}.stream_type_summary,
    {schema}.type_stream_summary, {schema}.category_type_summary, {schema}.type_category_summary;
  DROP FUNCTION
    {schema}.acquire_lock(varchar),
    {schema}.stream_version(varchar),
    {schema}.write_message(varchar, varchar, varchar, jsonb, jsonb, bigint),
    {schema}.get_stream_messages(varchar, bigint, bigint, varchar),
    {schema}.get_category_messages(varchar, bigint, bigint, varchar, bigint, bigint, varchar),
    {schema}.get_last_stream_message(varchar, varchar),
    {schema}.conditional_command(text, text),
    {schema}.is_on(text),
    {schema}.boolean_setting(text),
    {schema}.error_code(text),
    {schema}.use_error_codes(boolean),
    {schema}.message_store_version();
  DROP TABLE {schema}.messages;
  DROP FUNCTION
    {schema}.is_category(varchar),
    {schema}.category(varchar),
    {schema}.cardinal_id(varchar),
    {schema}.id(varchar),
    {schema}.hash_64(varchar);
  DROP TYPE {schema}.message;
END
$do$;
