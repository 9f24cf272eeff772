-- Functions that other functions call on behalf of the caller must be executable by everyone, whatever the default
-- privileges are. Roles that write messages need the heads of streams, and roles that may read the state of consumers may
-- read what was deleted: a consumer checks it.
DO $do$
DECLARE
  _grant text;
BEGIN
  GRANT EXECUTE ON FUNCTION {schema}.check_deletions(text[]) TO PUBLIC;

  FOR _grant IN
    WITH privilege AS (
      SELECT relname, acl.grantee, acl.privilege_type
      FROM pg_class, aclexplode(relacl) AS acl
      WHERE pg_class.oid IN ({schema_literal.messages}::regclass, {schema_literal.consumer_slots}::regclass)
        AND acl.grantee <> relowner
      UNION
      SELECT relname, acl.grantee, acl.privilege_type
      FROM pg_class
      JOIN pg_attribute ON attrelid = pg_class.oid, aclexplode(attacl) AS acl
      WHERE pg_class.oid = {schema_literal.messages}::regclass AND acl.grantee <> relowner
    )
    SELECT
      privilege_type || $sql$ ON {schema}.$sql$
        || CASE relname WHEN 'messages' THEN 'stream_heads' ELSE 'deleted_positions' END
        || ' TO ' || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
    FROM privilege
    WHERE privilege_type = 'SELECT' OR (privilege_type, relname) = ('INSERT', 'messages')
  LOOP
    EXECUTE 'GRANT ' || _grant;
  END LOOP;
END
$do$;
