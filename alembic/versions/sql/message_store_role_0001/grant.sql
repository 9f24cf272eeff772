-- Each role gets its privileges directly. To grant membership in another role takes ADMIN OPTION on that role, which an
-- installer without CREATEROLE lacks.
--
-- INSERT on a column allows any value in it. Global position and time are left to their defaults, so that no writer can
-- place a message behind readers; only `message_store` may insert into all columns, as in Message DB.
DO $do$
BEGIN
  GRANT USAGE ON SCHEMA {schema}
    TO message_store, message_store_reader, message_store_writer, message_store_consumer;
  GRANT SELECT ON
    {schema}.messages,
    {schema}.stream_summary, {schema}.type_summary, {schema}.stream_type_summary,
    {schema}.type_stream_summary, {schema}.category_type_summary, {schema}.type_category_summary,
    {schema}.consumer_slots, {schema}.consumer_members, {schema}.consumers, {schema}.dead_letters
    TO message_store, message_store_reader, message_store_writer, message_store_consumer;
  GRANT SELECT ON SEQUENCE {schema}.messages_global_position_seq
    TO message_store, message_store_reader, message_store_writer, message_store_consumer;
  GRANT EXECUTE ON FUNCTION
    {schema}.boolean_setting(text),
    {schema}.cardinal_id(varchar),
    {schema}.category(varchar),
    {schema}.check_filters(varchar, bigint, bigint),
    {schema}.conditional_command(text, text),
    {schema}.get_category_messages(varchar, bigint, bigint, varchar, bigint, bigint, varchar),
    {schema}.get_last_stream_message(varchar, varchar),
    {schema}.get_messages(varchar[], bigint, bigint, varchar, bigint, bigint, varchar),
    {schema}.get_stream_messages(varchar, bigint, bigint, varchar),
    {schema}.granularity_of_snapshot(),
    {schema}.hash_64(varchar),
    {schema}.id(varchar),
    {schema}.is_category(varchar),
    {schema}.is_member(varchar, bigint, bigint),
    {schema}.is_on(text),
    {schema}.last_global_position(),
    {schema}.lock_granularity(),
    {schema}.message_store_version(),
    {schema}.read_bound(varchar[]),
    {schema}.settled_position(varchar),
    {schema}.stream_version(varchar)
    TO message_store, message_store_reader, message_store_writer, message_store_consumer;

  GRANT INSERT ON {schema}.messages TO message_store;
  GRANT INSERT (id, stream_name, position, type, data, metadata) ON {schema}.messages
    TO message_store_writer, message_store_consumer;
  GRANT USAGE ON SEQUENCE {schema}.messages_global_position_seq
    TO message_store, message_store_writer, message_store_consumer;
  GRANT EXECUTE ON FUNCTION
    {schema}.acquire_lock(varchar),
    {schema}.find_repeats(jsonb),
    {schema}.lock_streams(text[]),
    {schema}.message_entries(jsonb),
    {schema}.prepare_copy(text[], bigint),
    {schema}.refuse_version(varchar, bigint, bigint),
    {schema}.take_floor(),
    {schema}.write_message(varchar, varchar, varchar, jsonb, jsonb, bigint),
    {schema}.write_messages(jsonb, jsonb, boolean)
    TO message_store, message_store_writer, message_store_consumer;

  GRANT INSERT, UPDATE ON {schema}.consumer_slots, {schema}.consumers
    TO message_store, message_store_consumer;
  GRANT DELETE ON {schema}.consumer_slots, {schema}.consumers TO message_store;
  GRANT INSERT, UPDATE, DELETE ON {schema}.consumer_members, {schema}.dead_letters
    TO message_store, message_store_consumer;
END
$do$;
