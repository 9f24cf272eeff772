-- Functions that other functions call on behalf of the caller must be executable by everyone, whatever the default
-- privileges are. Whoever may read the state of consumers may read what was deleted: a consumer checks it.
DO $do$
DECLARE
  _grantee text;
BEGIN
  GRANT EXECUTE ON FUNCTION {schema}.stream_head(text), {schema}.check_deletions(text[]) TO PUBLIC;

  FOR _grantee IN
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
    FROM pg_class, aclexplode(relacl)
    WHERE pg_class.oid = {schema_literal.consumer_slots}::regclass
      AND grantee <> relowner
      AND privilege_type = 'SELECT'
  LOOP
    EXECUTE $sql$
      GRANT SELECT ON
        {schema}.stream_heads, {schema}.deleted_positions, {schema}.retention_policies, {schema}.deletions
        TO $sql$ || _grantee;
  END LOOP;
END
$do$;
