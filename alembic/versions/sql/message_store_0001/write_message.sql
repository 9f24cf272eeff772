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
  _version bigint;
  _position bigint;
BEGIN
  -- A statement of its own: under READ COMMITTED the next one sees what the lock's last holder wrote.
  PERFORM {schema}.acquire_lock(write_message.stream_name);

  SELECT coalesce(max(m.position), -1)
  INTO _version
  FROM {schema}.messages AS m
  WHERE m.stream_name OPERATOR(pg_catalog.=) write_message.stream_name;

  IF write_message.expected_version <> _version THEN
    IF write_message.stream_name IS NOT NULL
      AND current_setting('transaction_isolation') IN ('repeatable read', 'serializable')
    THEN
      -- The snapshot may be older than the lock, and the version with it. This insert fails with a
      -- serialization failure if it is; if it is not, the error below takes it back.
      INSERT INTO {schema}.messages (stream_name, position, type)
      VALUES (write_message.stream_name, _version + 1, '')
      ON CONFLICT (stream_name, position) DO NOTHING;
    END IF;

    RAISE EXCEPTION 'Wrong expected version: % (Stream: %, Stream Version: %)',
      write_message.expected_version, write_message.stream_name, _version
      USING ERRCODE = {schema}.error_code('MS001');
  END IF;

  -- ON CONFLICT turns the position that a newer transaction took, unseen by an older snapshot, into a
  -- serialization failure, where a plain insert reports a unique violation that no retry would cure.
  INSERT INTO {schema}.messages (id, stream_name, position, type, data, metadata)
  VALUES (
    write_message.id::uuid,
    write_message.stream_name,
    _version + 1,
    write_message.type,
    write_message.data,
    write_message.metadata
  )
  ON CONFLICT (stream_name, position) DO NOTHING
  RETURNING position INTO _position;

  IF _position IS NULL THEN
    RAISE EXCEPTION 'Position % was taken by a writer without the lock (Stream: %)',
      _version + 1, write_message.stream_name
      USING ERRCODE = 'serialization_failure';
  END IF;

  IF {schema}.is_on('message_store.debug_write') OR {schema}.is_on('message_store.debug') THEN
    RAISE NOTICE '% write_message', chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 187 ELSE 62 END);
    RAISE NOTICE 'id ($1): %', write_message.id;
    RAISE NOTICE 'stream_name ($2): %', write_message.stream_name;
    RAISE NOTICE 'type ($3): %', write_message.type;
    RAISE NOTICE 'data ($4): %', write_message.data;
    RAISE NOTICE 'metadata ($5): %', write_message.metadata;
    RAISE NOTICE 'expected_version ($6): %', write_message.expected_version;
    RAISE NOTICE 'stream version: %', _version;
    RAISE NOTICE 'position: %', _position;
  END IF;

  RETURN _position;
END
$function$;
