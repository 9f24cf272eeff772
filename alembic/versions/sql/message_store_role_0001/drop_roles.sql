-- Drops the roles that the upgrade created and that nothing else uses: no other database, and no member. From PostgreSQL
-- 16 on, a role's creator is a member of it unless a superuser.
DO $do$
DECLARE
  _role regrole;
BEGIN
  FOR _role IN
    SELECT oid
    FROM pg_roles
    WHERE rolname IN ('message_store', 'message_store_reader', 'message_store_writer', 'message_store_consumer')
      AND shobj_description(oid, 'pg_authid') = 'Message store, created by mdb_sqla'
      AND NOT EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = pg_roles.oid)
      AND NOT EXISTS (
        SELECT FROM pg_auth_members WHERE roleid = pg_roles.oid AND member <> current_user::regrole
      )
  LOOP
    EXECUTE format('DROP ROLE %s', _role);
  END LOOP;
END
$do$;
