GRANT EXECUTE ON FUNCTION
  {schema}.check_filters(varchar, bigint, bigint),
  {schema}.find_repeats(jsonb),
  {schema}.get_messages(varchar[], bigint, bigint, varchar, bigint, bigint, varchar),
  {schema}.granularity_of_snapshot(),
  {schema}.is_member(varchar, bigint, bigint),
  {schema}.last_global_position(),
  {schema}.lock_granularity(),
  {schema}.lock_streams(text[]),
  {schema}.message_entries(jsonb),
  {schema}.prepare_copy(text[], bigint),
  {schema}.read_bound(varchar[]),
  {schema}.refuse_version(varchar, bigint, bigint),
  {schema}.settled_position(varchar),
  {schema}.take_floor(),
  {schema}.write_messages(jsonb, jsonb, boolean)
  TO message_store;
