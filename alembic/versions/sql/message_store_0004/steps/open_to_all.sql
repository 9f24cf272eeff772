-- Functions that other functions call on behalf of the caller must be executable by everyone, whatever the default
-- privileges are. Who may write may write with conditions, and who may read may read by query.
DO $do$
DECLARE
  _from regprocedure;
  _to regprocedure;
  _grantee text;
  _option text;
BEGIN
  GRANT EXECUTE ON FUNCTION
    {schema}.check_conditions(jsonb, jsonb, jsonb, boolean),
    {schema}.check_query(jsonb),
    {schema}.find_matches(jsonb, bigint, bigint, bigint),
    {schema}.locks_categories(),
    {schema}.query_items(jsonb),
    {schema}.unmet_condition(jsonb, text[])
    TO PUBLIC;

  FOR _from, _to IN
    VALUES
      (
        {schema_literal.write_messages(jsonb, jsonb, boolean)}::regprocedure,
        {schema_literal.write_conditionally(jsonb, jsonb, jsonb, boolean)}::regprocedure
      ),
      (
        {schema_literal.get_messages(varchar[], bigint, bigint, varchar, bigint, bigint, varchar)}::regprocedure,
        {schema_literal.get_query_messages(jsonb, bigint, bigint, bigint)}::regprocedure
      )
  LOOP
    FOR _grantee IN
      SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END
      FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS acl
      WHERE pg_proc.oid = _to AND acl.grantee <> proowner
    LOOP
      EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %s', _to, _grantee);
    END LOOP;

    FOR _grantee, _option IN
      SELECT
        CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END,
        CASE WHEN bool_or(acl.is_grantable) THEN ' WITH GRANT OPTION' ELSE '' END
      FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS acl
      WHERE pg_proc.oid = _from AND acl.grantee <> proowner
      GROUP BY acl.grantee
    LOOP
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s%s', _to, _grantee, _option);
    END LOOP;
  END LOOP;
END
$do$;
