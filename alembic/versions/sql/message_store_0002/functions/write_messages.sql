-- Writes the messages of a document, [{"id", "stream_name", "type", "data", "metadata"}, ...], in its order, all or none;
-- `expected_versions` is {"stream name": version, ...}. Returns the positions of each message. With `idempotent`, a message
-- that is stored already is not written again and keeps its positions; if all are, expected versions are ignored.
CREATE OR REPLACE FUNCTION {schema}.write_messages(
  messages jsonb,
  expected_versions jsonb DEFAULT NULL,
  idempotent boolean DEFAULT true
)
RETURNS TABLE ("position" bigint, global_position bigint)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
  _message jsonb;
BEGIN
  IF jsonb_array_length(messages) = 1 THEN
    _message := messages -> 0;

    IF expected_versions IS NULL OR expected_versions - (_message OPERATOR(pg_catalog.->>) 'stream_name') = '{}' THEN
      -- A single message takes less. If it can't be written, the code below finds out why.
      BEGIN
        RETURN QUERY
          SELECT
            {schema}.write_message(
              _message OPERATOR(pg_catalog.->>) 'id',
              _message OPERATOR(pg_catalog.->>) 'stream_name',
              _message OPERATOR(pg_catalog.->>) 'type',
              _message OPERATOR(pg_catalog.->) 'data',
              _message OPERATOR(pg_catalog.->) 'metadata',
              (expected_versions ->> (_message OPERATOR(pg_catalog.->>) 'stream_name'))::bigint
            ),
            currval({schema_literal.messages_global_position_seq}::regclass);
        RETURN;
      EXCEPTION WHEN unique_violation OR raise_exception THEN
        NULL;
      END;
    END IF;
  END IF;

  DECLARE
    _streams constant text[] := ARRAY(
      SELECT value OPERATOR(pg_catalog.->>) 'stream_name' FROM jsonb_array_elements(messages)
      UNION
      SELECT jsonb_object_keys(expected_versions)
    );
    _versions constant bigint[] := {schema}.lock_streams(_streams);
    _wrong_stream text;
    _expected_version bigint;
    _version bigint;
    _repeats bigint[] := '{}';
    _known_repeats bigint[];
    _positions bigint[];
    _global_positions bigint[];
    _index text;
  BEGIN
    SELECT name, value::bigint, version
    INTO _wrong_stream, _expected_version, _version
    FROM unnest(_streams, _versions) AS stream (name, version)
    JOIN jsonb_each_text(expected_versions) AS expected (name, value) USING (name)
    WHERE value::bigint <> version
    ORDER BY name
    LIMIT 1;

    IF _wrong_stream IS NOT NULL THEN
      IF idempotent THEN
        _repeats := {schema}.find_repeats(messages);
      END IF;

      IF pg_catalog.cardinality(_repeats) < jsonb_array_length(messages) OR _repeats OPERATOR(pg_catalog.=) '{}' THEN
        PERFORM {schema}.refuse_version(_wrong_stream, _expected_version, _version);
      END IF;
    ELSIF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
      -- The snapshot may be older than the locks, and no insert of the batch needs to reveal it: a stream
      -- may only be expected. An insert at the next position fails with a serialization failure if a
      -- newer transaction took that position; otherwise it is undone.
      BEGIN
        INSERT INTO {schema}.messages (stream_name, position, type)
        SELECT name, version + 1, 'Probe'
        FROM unnest(_streams, _versions) AS stream (name, version)
        WHERE (expected_versions ->> name) IS NOT NULL
        ON CONFLICT (stream_name, position) DO NOTHING;

        RAISE EXCEPTION USING ERRCODE = 'MS000';
      EXCEPTION WHEN SQLSTATE 'MS000' THEN
        NULL;
      END;
    END IF;

    WHILE pg_catalog.cardinality(_repeats) < jsonb_array_length(messages) LOOP
      PERFORM {schema}.take_floor();

      BEGIN
        WITH written AS (
          INSERT INTO {schema}.messages (id, stream_name, position, type, data, metadata)
          SELECT
            id, stream_name, version + row_number() OVER (PARTITION BY stream_name ORDER BY number),
            type, data, metadata
          FROM {schema}.message_entries(write_messages.messages)
          LEFT JOIN unnest(_streams, _versions) AS stream (name, version) ON name = stream_name
          WHERE NOT EXISTS (SELECT FROM pg_catalog.unnest(_repeats) AS repeat (number) WHERE repeat.number = message_entries.number)
          ORDER BY number
          RETURNING position, global_position
        )
        SELECT pg_catalog.array_agg(position), pg_catalog.array_agg(global_position)
        INTO _positions, _global_positions
        FROM written;

        EXIT;
      EXCEPTION WHEN unique_violation THEN
        GET STACKED DIAGNOSTICS _index = CONSTRAINT_NAME;

        IF _index = 'messages_id' AND idempotent THEN
          _known_repeats := _repeats;
          _repeats := {schema}.find_repeats(messages);
        ELSIF _index IS DISTINCT FROM 'messages_stream' THEN
          RAISE;
        END IF;

        -- Not found: hidden by row-level security, or the snapshot is too old.
        IF _index = 'messages_id'
          AND _repeats OPERATOR(pg_catalog.=) _known_repeats
          AND current_setting('transaction_isolation') = 'read committed'
        THEN
          RAISE;
        ELSIF _index = 'messages_stream' OR _repeats OPERATOR(pg_catalog.=) _known_repeats THEN
          RAISE EXCEPTION '%', SQLERRM USING ERRCODE = 'serialization_failure';
        END IF;
      END;
    END LOOP;

    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
      PERFORM {schema}.check_deletions(_streams);
    END IF;

    IF _repeats OPERATOR(pg_catalog.=) '{}' THEN
      RETURN QUERY SELECT * FROM unnest(_positions, _global_positions);
    ELSE
      RETURN QUERY
        SELECT m.position, m.global_position
        FROM {schema}.message_entries(write_messages.messages) AS entry
        JOIN {schema}.messages AS m ON m.id = entry.id
        ORDER BY number;
    END IF;
  END;
END
$function$;
