-- The bodies of the functions contain the name of the schema, and ALTER SCHEMA ... RENAME does not change them.
DO $do$
DECLARE
  _named text;
BEGIN
  SELECT (regexp_match(prosrc, 'INSERT INTO ("([^"]|"")+")[.]messages'))[1]
  INTO _named
  FROM pg_proc
  WHERE pronamespace = to_regnamespace({schema_literal}) AND proname = 'write_message';

  IF _named <> {schema_literal} THEN
    RAISE EXCEPTION 'Schema % was renamed, and the functions of the message store in it still name %', {schema_literal}, _named
      USING CONSTRAINT = 'unrecognized_store', SCHEMA = {schema_name}, HINT = format('Rename it back: ALTER SCHEMA %s RENAME TO %s;', {schema_literal}, _named);
  END IF;
END
$do$;
