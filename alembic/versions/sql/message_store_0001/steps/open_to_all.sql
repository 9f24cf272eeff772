-- Functions that other functions call on behalf of the caller must be executable by everyone, whatever the default
-- privileges are.
DO $do$
DECLARE
  _grantee text;
BEGIN
  GRANT EXECUTE ON FUNCTION
    {schema}.boolean_setting(text),
    {schema}.check_filters(varchar, bigint, bigint),
    {schema}.conditional_command(text, text),
    {schema}.find_repeats(jsonb),
    {schema}.granularity_of_snapshot(),
    {schema}.is_member(varchar, bigint, bigint),
    {schema}.is_on(text),
    {schema}.last_global_position(),
    {schema}.lock_granularity(),
    {schema}.lock_streams(text[]),
    {schema}.message_entries(jsonb),
    {schema}.read_bound(varchar[]),
    {schema}.refuse_version(varchar, bigint, bigint),
    {schema}.take_floor()
    TO PUBLIC;

  -- Taking a floor reads the sequence, for which USAGE alone is not enough.
  FOR _grantee IN
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
    FROM pg_class, aclexplode(relacl)
    WHERE pg_class.oid = {schema_literal.messages_global_position_seq}::regclass
    GROUP BY grantee
    HAVING bool_or(privilege_type IN ('USAGE', 'UPDATE')) AND NOT bool_or(privilege_type = 'SELECT')
  LOOP
    EXECUTE $sql$GRANT SELECT ON SEQUENCE {schema}.messages_global_position_seq TO $sql$ || _grantee;
  END LOOP;
END
$do$;
