-- The messages by their tags. Only messages with tags are in it, and have to maintain it. Without a list of pending entries,
-- which each search would read from end to end.
--
-- On a large table, it can be created beforehand with CONCURRENTLY.
DO $do$
DECLARE
  _definition text;
  _is_valid boolean;
BEGIN
  SELECT pg_get_indexdef(indexrelid), indisvalid
  INTO _definition, _is_valid
  FROM pg_index
  WHERE indexrelid = to_regclass({schema_literal.messages_tags}) AND indrelid = {schema_literal.messages}::regclass;

  IF NOT FOUND THEN
    CREATE INDEX messages_tags ON {schema}.messages
      USING gin ((metadata -> 'tags') jsonb_path_ops) WITH (fastupdate = off)
      WHERE metadata ? 'tags';
  ELSIF NOT _is_valid
    OR _definition NOT LIKE '% USING gin (((metadata -> ''tags''::text)) jsonb_path_ops)% WHERE (metadata ? ''tags''::text)'
  THEN
    RAISE EXCEPTION 'The index messages_tags in schema % is not the one that version 0004 needs%: %',
      {schema_literal}, CASE WHEN _is_valid THEN '' ELSE ', and is invalid' END, _definition
      USING
        CONSTRAINT = 'unrecognized_store',
        SCHEMA = {schema_name},
        HINT = 'Drop it; the upgrade creates the index.';
  END IF;
END
$do$;
