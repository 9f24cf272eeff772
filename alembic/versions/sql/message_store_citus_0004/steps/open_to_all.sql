-- Functions that other functions call on behalf of the caller. Who may insert some columns of messages may insert all: Citus
-- does not grant columns of shards. Roles that are created later get this from message_store_role_0004.
DO $do$
DECLARE
  _grantee text;
BEGIN
  GRANT EXECUTE ON FUNCTION
    {schema}.lock_shard(text),
    {schema}.refuse_on_citus(text, text),
    {schema}.write_category(text, jsonb, jsonb, boolean)
    TO PUBLIC;

  FOR _grantee IN
    SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END
    FROM pg_attribute, aclexplode(attacl) AS acl
    WHERE attrelid = {schema_literal.messages}::regclass AND attname = 'id' AND privilege_type = 'INSERT'
  LOOP
    EXECUTE $sql$GRANT INSERT ON {schema}.messages TO $sql$ || _grantee;
  END LOOP;
END
$do$;
