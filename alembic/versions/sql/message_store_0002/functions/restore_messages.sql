-- Puts archived messages of a category back: `lines` is a JSON object per line, as exported. Messages that are stored
-- already are skipped, whatever they contain now. Returns the number of restored messages. The messages of a stream may come
-- in any order, in several calls; finish_restore() must follow in the same transaction.
--
-- Messages appear at global positions that readers have read beyond. That is allowed up to the position in
-- deleted_positions: a reader that has not read up to there stops with an error, so none passes these positions until then.
-- One that has read up to there has seen the messages before they were deleted, or has chosen to skip them.
CREATE FUNCTION {schema}.restore_messages(category varchar, lines text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_nestloop = off
SET jit = off
AS $function$
DECLARE
  _deleted bigint;
  _forgets boolean;
  _names text[];
  _number bigint;
  _restored bigint;
  _wrong record;
BEGIN
  PERFORM {schema}.lock_deletions();

  SELECT least(mark.global_position, {schema}.last_global_position()), NOT mark.keeps_versions
  INTO _deleted, _forgets
  FROM {schema}.deleted_positions AS mark
  WHERE mark.category = restore_messages.category;

  IF _forgets THEN
    -- A stream that was forgotten starts at position 0 again: nobody may start it while a part of it is restored.
    _names := ARRAY(
      SELECT message.stream_name
      FROM (
        SELECT line ->> 'stream_name' AS stream_name, (line ->> 'position')::bigint AS position
        FROM (SELECT text::jsonb AS line FROM string_to_table(lines, E'\n') AS text WHERE text <> '' OFFSET 0) AS entry
      ) AS message
      WHERE (SELECT head.version FROM {schema}.stream_heads AS head WHERE head.stream_name = message.stream_name) IS NULL
      GROUP BY message.stream_name
      HAVING min(message.position) > 0
    );

    IF _names <> '{}' THEN
      PERFORM {schema}.lock_streams(_names);
    END IF;
  END IF;

  -- The highest head stands for an unknown one until finish_restore() replaces it.
  WITH message AS MATERIALIZED (
    SELECT
      (line ->> 'id')::uuid AS id,
      line ->> 'stream_name' AS stream_name,
      line ->> 'type' AS type,
      (line ->> 'position')::bigint AS position,
      (line ->> 'global_position')::bigint AS global_position,
      line -> 'data' AS data,
      line -> 'metadata' AS metadata,
      (line ->> 'time')::timestamptz AT TIME ZONE 'utc' AS "time"
    FROM (SELECT text::jsonb AS line FROM string_to_table(lines, E'\n') AS text WHERE text <> '' OFFSET 0) AS entry
  ), stream AS MATERIALIZED (
    SELECT DISTINCT message.stream_name AS name FROM message WHERE message.global_position <= _deleted
  ), unknown AS (
    INSERT INTO {schema}.stream_heads (stream_name, version)
    SELECT stream.name, 9223372036854775807
    FROM stream
    WHERE _forgets AND {schema}.category(stream.name) = restore_messages.category
    ORDER BY stream.name
    ON CONFLICT ON CONSTRAINT stream_heads_pkey DO NOTHING
  ), known AS MATERIALIZED (
    SELECT stream.name
    FROM stream
    WHERE {schema}.category(stream.name) = restore_messages.category
      -- A scalar subquery forces a lookup for each: the statistics lag behind.
      AND (
        _forgets
        OR (SELECT head.version FROM {schema}.stream_heads AS head WHERE head.stream_name = stream.name) IS NOT NULL
      )
  ), restored AS (
    INSERT INTO {schema}.messages (id, stream_name, type, position, global_position, data, metadata, "time")
    SELECT
      message.id, message.stream_name, message.type, message.position, message.global_position, message.data,
      message.metadata, message.time
    FROM message
    JOIN known ON known.name = message.stream_name
    WHERE message.global_position <= _deleted
    ORDER BY message.global_position
    ON CONFLICT DO NOTHING
    RETURNING true
  )
  SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM restored)
  INTO _number, _restored;

  IF _restored < _number THEN
    SELECT message.*
    INTO _wrong
    FROM (
      SELECT
        (line ->> 'id')::uuid AS id,
        line ->> 'stream_name' AS stream_name,
        (line ->> 'position')::bigint AS position,
        (line ->> 'global_position')::bigint AS global_position
      FROM (SELECT text::jsonb AS line FROM string_to_table(lines, E'\n') AS text WHERE text <> '' OFFSET 0) AS entry
    ) AS message
    WHERE (
      SELECT (m.stream_name, m.position, m.global_position)
        = (message.stream_name, message.position, message.global_position)
      FROM {schema}.messages AS m
      WHERE m.id = message.id
    ) IS NOT TRUE
    LIMIT 1;

    IF FOUND THEN
      RAISE EXCEPTION 'Can''t restore message % (Stream: %, Position: %, Global Position: %): %',
        _wrong.id, _wrong.stream_name, _wrong.position, _wrong.global_position,
        CASE
          WHEN {schema}.category(_wrong.stream_name) <> restore_messages.category
          THEN 'it is not of category ' || restore_messages.category
          WHEN EXISTS (
            SELECT
            FROM {schema}.messages AS m
            WHERE m.id = _wrong.id
              OR m.global_position = _wrong.global_position
              OR (m.stream_name = _wrong.stream_name AND m.position = _wrong.position)
          )
          THEN 'the store has another message with this id or at one of these positions'
          ELSE 'this store has not deleted it'
        END
        USING CONSTRAINT = 'restore_refused', SCHEMA = {schema_name};
    END IF;
  END IF;

  RETURN _restored;
END
$function$;
