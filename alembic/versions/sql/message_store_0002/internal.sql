-- What the functions call and read for their caller must be open to all, whatever the default privileges
-- are. Whoever may draw from the sequence may not be able to look at it, as a floor makes it necessary.
DO $do$
BEGIN
  GRANT EXECUTE ON FUNCTION
    {schema}.check_filters(varchar, bigint, bigint),
    {schema}.find_repeats(jsonb),
    {schema}.granularity_of_snapshot(),
    {schema}.is_member(varchar, bigint, bigint),
    {schema}.last_global_position(),
    {schema}.lock_granularity(),
    {schema}.lock_streams(text[]),
    {schema}.message_entries(jsonb),
    {schema}.read_bound(varchar[]),
    {schema}.refuse_version(varchar, bigint, bigint),
    {schema}.take_floor()
    TO PUBLIC;
  GRANT SELECT ON SEQUENCE {schema}.messages_global_position_seq TO PUBLIC;
END
$do$;
