-- Roles that may already change the state of consumers or retention policies may record it. Not `role` and
-- `performed_at`, which are left to their defaults.
DO $do$
DECLARE
  _grantee text;
BEGIN
  FOR _grantee IN
    SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END
    FROM pg_class, aclexplode(relacl) AS acl
    WHERE pg_class.oid IN (
        {schema_literal.consumer_slots}::regclass, {schema_literal.consumers}::regclass,
        {schema_literal.dead_letters}::regclass, {schema_literal.retention_policies}::regclass
      )
      AND acl.grantee <> relowner
      AND acl.privilege_type IN ('UPDATE', 'DELETE')
  LOOP
    EXECUTE $sql$GRANT INSERT (kind, subject, details, performed_by) ON {schema}.operations TO $sql$ || _grantee;
  END LOOP;
END
$do$;
