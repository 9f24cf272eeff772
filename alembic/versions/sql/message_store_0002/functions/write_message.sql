CREATE OR REPLACE FUNCTION {schema}.write_message(
  id varchar,
  stream_name varchar,
  "type" varchar,
  data jsonb,
  metadata jsonb DEFAULT NULL,
  expected_version bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $function$
#variable_conflict use_column
DECLARE
  _key constant bigint := {schema}.hash_64({schema}.category(write_message.stream_name));
  _locked boolean;
  _version bigint;
  _position bigint;
BEGIN
  -- Before anything can fail.
  IF {schema}.is_on('message_store.debug_write') OR {schema}.is_on('message_store.debug') THEN
    RAISE NOTICE '% write_message', chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 187 ELSE 62 END);
    RAISE NOTICE 'id ($1): %', write_message.id;
    RAISE NOTICE 'stream_name ($2): %', write_message.stream_name;
    RAISE NOTICE 'type ($3): %', write_message.type;
    RAISE NOTICE 'data ($4): %', write_message.data;
    RAISE NOTICE 'metadata ($5): %', write_message.metadata;
    RAISE NOTICE 'expected_version ($6): %', write_message.expected_version;
  END IF;

  -- Touches the sequence, so that the granularity can't change until the transaction ends. This and the
  -- locks are expressions rather than statements, at a tenth of the cost.
  _locked := pg_sequence_last_value({schema_literal.messages_global_position_seq}::regclass) IS NULL;

  IF {schema}.lock_granularity() OPERATOR(pg_catalog.=) 'category' THEN
    _locked := pg_advisory_xact_lock(_key) IS NOT NULL;
  ELSE
    _locked := pg_advisory_xact_lock_shared(_key) IS NOT NULL;
    _locked := pg_advisory_xact_lock(
      pg_catalog.hashtextextended(write_message.stream_name, {schema_literal.messages}::regclass::oid::bigint)
    ) IS NOT NULL;
  END IF;

  -- A separate statement: under READ COMMITTED it sees what the last holder of the lock wrote.
  IF write_message.expected_version IS NOT NULL THEN
    SELECT
      coalesce(
        max(m.position),
        (SELECT head.version FROM {schema}.stream_heads AS head WHERE head.stream_name OPERATOR(pg_catalog.=) write_message.stream_name),
        -1
      )
    INTO _version
    FROM {schema}.messages AS m
    WHERE m.stream_name OPERATOR(pg_catalog.=) write_message.stream_name;

    IF write_message.expected_version <> _version THEN
      PERFORM {schema}.refuse_version(write_message.stream_name, write_message.expected_version, _version);
    END IF;
  END IF;

  -- The check that take_floor() starts with, without a call for every message.
  IF current_setting('message_store.floor_' || {schema_literal.messages}::regclass::oid::text, true)
    IS DISTINCT FROM pg_current_xact_id()::text
  THEN
    PERFORM {schema}.take_floor();
  END IF;

  IF current_setting('transaction_isolation') = 'read committed' THEN
    INSERT INTO {schema}.messages (id, stream_name, position, type, data, metadata)
    VALUES (
      write_message.id::uuid,
      write_message.stream_name,
      coalesce(
        (SELECT max(m.position) FROM {schema}.messages AS m WHERE m.stream_name OPERATOR(pg_catalog.=) write_message.stream_name),
        (SELECT head.version FROM {schema}.stream_heads AS head WHERE head.stream_name OPERATOR(pg_catalog.=) write_message.stream_name),
        -1
      ) + 1,
      write_message.type,
      write_message.data,
      write_message.metadata
    )
    RETURNING position INTO _position;
  ELSE
    -- With ON CONFLICT, a position that a newer transaction took, unseen by this snapshot, is a
    -- serialization failure. A plain insert would report a unique violation, which says nothing about
    -- a retry.
    INSERT INTO {schema}.messages (id, stream_name, position, type, data, metadata)
    VALUES (
      write_message.id::uuid,
      write_message.stream_name,
      coalesce(
        (SELECT max(m.position) FROM {schema}.messages AS m WHERE m.stream_name OPERATOR(pg_catalog.=) write_message.stream_name),
        (SELECT head.version FROM {schema}.stream_heads AS head WHERE head.stream_name OPERATOR(pg_catalog.=) write_message.stream_name),
        -1
      ) + 1,
      write_message.type,
      write_message.data,
      write_message.metadata
    )
    ON CONFLICT (stream_name, position) DO NOTHING
    RETURNING position INTO _position;

    PERFORM {schema}.check_deletions(ARRAY[write_message.stream_name::text]);
  END IF;

  RETURN _position;
END
$function$;
