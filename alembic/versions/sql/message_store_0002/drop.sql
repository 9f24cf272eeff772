-- The barrier first: no writer goes on under locks that the older functions know nothing of.
DO $do$
BEGIN
  ALTER SEQUENCE {schema}.messages_global_position_seq NO CYCLE;
  DROP FUNCTION
    {schema}.write_messages(jsonb, jsonb, boolean),
    {schema}.prepare_copy(text[], bigint),
    {schema}.find_repeats(jsonb),
    {schema}.message_entries(jsonb),
    {schema}.get_messages(varchar[], bigint, bigint, varchar, bigint, bigint, varchar),
    {schema}.settled_position(varchar),
    {schema}.read_bound(varchar[]),
    {schema}.check_filters(varchar, bigint, bigint),
    {schema}.is_member(varchar, bigint, bigint),
    {schema}.refuse_version(varchar, bigint, bigint),
    {schema}.lock_streams(text[]),
    {schema}.take_floor(),
    {schema}.last_global_position(),
    {schema}.set_lock_granularity(varchar),
    {schema}.granularity_of_snapshot(),
    {schema}.lock_granularity();
END
$do$;
