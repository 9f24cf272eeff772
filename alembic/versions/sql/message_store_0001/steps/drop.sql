-- Without CASCADE: what others built on the store makes the downgrade fail and is never dropped.
DO $do$
BEGIN
  DROP VIEW
    {schema}.stream_summary, {schema}.type_summary, {schema}.stream_type_summary,
    {schema}.type_stream_summary, {schema}.category_type_summary, {schema}.type_category_summary;
  DROP FUNCTION
    {schema}.acquire_lock(varchar),
    {schema}.boolean_setting(text),
    {schema}.check_filters(varchar, bigint, bigint),
    {schema}.conditional_command(text, text),
    {schema}.find_repeats(jsonb),
    {schema}.get_category_messages(varchar, bigint, bigint, varchar, bigint, bigint, varchar),
    {schema}.get_last_stream_message(varchar, varchar),
    {schema}.get_messages(varchar[], bigint, bigint, varchar, bigint, bigint, varchar),
    {schema}.get_stream_messages(varchar, bigint, bigint, varchar),
    {schema}.granularity_of_snapshot(),
    {schema}.is_member(varchar, bigint, bigint),
    {schema}.is_on(text),
    {schema}.last_global_position(),
    {schema}.lock_granularity(),
    {schema}.lock_streams(text[]),
    {schema}.message_entries(jsonb),
    {schema}.message_store_version(),
    {schema}.prepare_copy(text[], bigint),
    {schema}.read_bound(varchar[]),
    {schema}.refuse_version(varchar, bigint, bigint),
    {schema}.set_lock_granularity(varchar),
    {schema}.settled_position(varchar),
    {schema}.stream_version(varchar),
    {schema}.take_floor(),
    {schema}.write_message(varchar, varchar, varchar, jsonb, jsonb, bigint),
    {schema}.write_messages(jsonb, jsonb, boolean);
  DROP TABLE
    {schema}.messages, {schema}.consumer_slots, {schema}.consumer_members, {schema}.consumers,
    {schema}.dead_letters;
  DROP FUNCTION
    {schema}.is_category(varchar),
    {schema}.category(varchar),
    {schema}.cardinal_id(varchar),
    {schema}.id(varchar),
    {schema}.hash_64(varchar);
  DROP TYPE {schema}.message;
END
$do$;
