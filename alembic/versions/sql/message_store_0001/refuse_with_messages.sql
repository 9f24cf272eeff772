DO $do$
BEGIN
  LOCK TABLE {schema}.messages IN ACCESS EXCLUSIVE MODE;

  IF EXISTS (SELECT FROM {schema}.messages) THEN
    RAISE EXCEPTION 'The downgrade would delete all messages in schema %', {schema_literal}
      USING ERRCODE = 'MS011', HINT = 'To delete them, run: alembic -x delete_messages=yes downgrade ...';
  END IF;
END
$do$;
