-- `message_store` is the login of Message DB clients in other languages; an application's own logins are members of the
-- other three. Roles that exist are used as they are, which takes no right to create roles. The comment marks those that
-- a downgrade may drop.
DO $do$
DECLARE
  _role text;
BEGIN
  FOREACH _role IN ARRAY ARRAY['message_store', 'message_store_reader', 'message_store_writer', 'message_store_consumer'] LOOP
    CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = _role);

    BEGIN
      EXECUTE format('CREATE ROLE %I %s', _role, CASE _role WHEN 'message_store' THEN 'LOGIN' ELSE 'NOLOGIN' END);
      EXECUTE format('COMMENT ON ROLE %I IS %L', _role, 'Message store, created by mdb_sqla');
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN
        NULL; -- Another database's upgrade was faster.
      WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'permission denied to create role %', _role
          USING ERRCODE = 'insufficient_privilege', HINT = 'Whoever may create roles must do it before: ' ||
            'CREATE ROLE message_store LOGIN; CREATE ROLE message_store_reader; ' ||
            'CREATE ROLE message_store_writer; CREATE ROLE message_store_consumer;';
    END;
  END LOOP;
END
$do$;
