DO $do$
DECLARE
  _managed constant text := obj_description({schema_literal.messages}::regclass, 'pg_class');
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('mdb_sqla:' || {schema_literal}, 0));

  IF _managed IS DISTINCT FROM 'Messages, managed by mdb_sqla: version 0004' THEN
    RAISE EXCEPTION 'The message store in schema % is not at version 0004, but: %', {schema_literal}, coalesce(_managed, 'unknown')
      USING
        CONSTRAINT = 'unrecognized_store',
        SCHEMA = {schema_name},
        HINT = 'If another migration history has upgraded it, record that in this one: alembic stamp message_store_0005';
  END IF;
END
$do$;
