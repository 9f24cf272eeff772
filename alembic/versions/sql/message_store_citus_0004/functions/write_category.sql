-- Writes messages of one category, on the node that has its shard. Only write_messages() calls this: Citus delegates it by
-- its first argument, together with the transaction.
--
-- Positions are the numbers after the last one of the category, and each is a unique key of it. So a position is taken only
-- by a transaction that sees the one below it committed, whichever node it runs on, and messages appear in their order. The
-- lock makes writers wait for each other instead of failing.
--
-- An error is returned as `problem`, because Citus does not transfer all fields of an error. Nothing is written then.
CREATE FUNCTION {schema}.write_category(
  category text,
  messages jsonb,
  expected_versions jsonb,
  idempotent boolean
)
RETURNS TABLE (number bigint, "position" bigint, global_position bigint, problem jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
  _category constant text := write_category.category;
  _number_of_messages constant bigint := jsonb_array_length(messages);
  _ids constant uuid[] := ARRAY(SELECT (value ->> 'id')::uuid FROM jsonb_array_elements(messages));
  _streams constant text[] := ARRAY(
    SELECT value ->> 'stream_name' FROM jsonb_array_elements(messages)
    UNION
    SELECT jsonb_object_keys(expected_versions)
  );
  _stream text;
  _last bigint;
  _versions jsonb;
  _stored jsonb;
  _entries jsonb;
  _repeats bigint;
BEGIN
  PERFORM {schema}.lock_shard(_category);
  PERFORM pg_advisory_xact_lock({schema}.hash_64(_category));

  -- Each in a statement of its own, which sees what the last holder of the lock wrote.
  SELECT coalesce(max(m.global_position), 0)
  INTO _last
  FROM {schema}.messages AS m
  WHERE m.category = _category;

  IF cardinality(_streams) = 1 THEN
    SELECT jsonb_build_object(_streams[1], coalesce(max(m.position), -1))
    INTO _versions
    FROM {schema}.messages AS m
    WHERE m.category = _category AND m.stream_name = _streams[1];
  ELSE
    -- Citus has no generic plan for this.
    EXECUTE $sql$
      SELECT coalesce(jsonb_object_agg(stream.name, coalesce(last.position, -1)), '{}')
      FROM unnest($2) AS stream (name)
      LEFT JOIN LATERAL (
        SELECT m.position
        FROM {schema}.messages AS m
        WHERE m.category = $1 AND m.stream_name = stream.name
        ORDER BY m.position DESC
        LIMIT 1
      ) AS last ON true$sql$
      INTO _versions
      USING _category, _streams;
  END IF;

  SELECT
    coalesce(
      jsonb_object_agg(
        m.id,
        jsonb_build_object(
          'position', m.position,
          'global_position', m.global_position,
          'content', jsonb_build_array(m.stream_name, m.type, m.data IS NULL, m.data, m.metadata IS NULL, m.metadata)
        )
      ),
      '{}'
    )
  INTO _stored
  FROM {schema}.messages AS m
  WHERE m.category = _category
    AND m.id = ANY (_ids);

  -- Each message with the positions that it has, or will have. A repeat of an earlier one has the same.
  WITH entry AS (
    SELECT
      entry.number,
      entry.id,
      entry.stream_name,
      jsonb_build_array(
        entry.stream_name, entry.type, entry.data IS NULL, entry.data, entry.metadata IS NULL, entry.metadata
      ) AS content,
      _stored -> entry.id::text AS stored,
      coalesce(_stored ? entry.id::text, false)
        OR row_number() OVER (PARTITION BY entry.id ORDER BY entry.number) > 1 AS is_repeat
    FROM {schema}.message_entries(messages) AS entry
  ), placed AS (
    SELECT
      entry.*,
      _last + row_number() OVER (PARTITION BY entry.is_repeat ORDER BY entry.number) AS global_position,
      (_versions ->> entry.stream_name)::bigint
        + row_number() OVER (PARTITION BY entry.is_repeat, entry.stream_name ORDER BY entry.number) AS position
    FROM entry
  ), original AS (
    SELECT
      placed.*,
      coalesce(placed.stored -> 'content', first_value(placed.content) OVER same_id) AS first_content,
      coalesce((placed.stored -> 'position')::bigint, first_value(placed.position) OVER same_id) AS first_position,
      coalesce((placed.stored -> 'global_position')::bigint, first_value(placed.global_position) OVER same_id)
        AS first_global_position
    FROM placed
    WINDOW same_id AS (PARTITION BY placed.id ORDER BY placed.number)
  )
  SELECT
    coalesce(
      jsonb_agg(
        jsonb_build_object(
          'number', number,
          'id', id,
          'stream_name', stream_name,
          'is_repeat', is_repeat,
          'differs', content <> first_content,
          'position', first_position,
          'global_position', first_global_position
        )
        ORDER BY number
      ),
      '[]'
    ),
    count(*) FILTER (WHERE is_repeat)
  INTO _entries, _repeats
  FROM original;

  SELECT expected.key
  INTO _stream
  FROM jsonb_each_text(expected_versions) AS expected
  WHERE expected.value::bigint <> (_versions ->> expected.key)::bigint
  ORDER BY expected.key
  LIMIT 1;

  IF _repeats > 0 AND (idempotent OR _stream IS NULL) THEN
    RETURN QUERY
      SELECT
        NULL::bigint, NULL::bigint, NULL::bigint,
        jsonb_build_object('kind', 'duplicate_message_id', 'id', value -> 'id', 'stream_name', value -> 'stream_name')
      FROM jsonb_array_elements(_entries)
      WHERE (value -> CASE WHEN idempotent THEN 'differs' ELSE 'is_repeat' END)::boolean
      ORDER BY (value -> 'number')::bigint
      LIMIT 1;

    IF FOUND THEN
      RETURN;
    END IF;
  END IF;

  IF _stream IS NOT NULL AND NOT (idempotent AND _repeats > 0 AND _repeats = _number_of_messages) THEN
    RETURN QUERY
      SELECT
        NULL::bigint, NULL::bigint, NULL::bigint,
        jsonb_build_object('kind', 'wrong_expected_version', 'stream_name', _stream, 'version', _versions -> _stream);
    RETURN;
  END IF;

  IF _number_of_messages = 1 AND _repeats = 0 THEN
    INSERT INTO {schema}.messages (category, global_position, stream_name, position, id, type, data, metadata)
    VALUES (
      _category, _last + 1, messages -> 0 ->> 'stream_name', (_entries -> 0 -> 'position')::bigint,
      (messages -> 0 ->> 'id')::uuid, messages -> 0 ->> 'type', messages -> 0 -> 'data', messages -> 0 -> 'metadata'
    );
  ELSIF _repeats < _number_of_messages THEN
    -- Citus has no generic plan for this.
    EXECUTE $sql$
      INSERT INTO {schema}.messages (category, global_position, stream_name, position, id, type, data, metadata)
      SELECT
        $1,
        (placed -> 'global_position')::bigint,
        message ->> 'stream_name',
        (placed -> 'position')::bigint,
        (message ->> 'id')::uuid,
        message ->> 'type',
        message -> 'data',
        message -> 'metadata'
      FROM ROWS FROM (jsonb_array_elements($2), jsonb_array_elements($3)) AS entry (message, placed)
      WHERE NOT (placed -> 'is_repeat')::boolean$sql$
      USING _category, messages, _entries;
  END IF;

  RETURN QUERY
    SELECT
      (value -> 'number')::bigint, (value -> 'position')::bigint, (value -> 'global_position')::bigint, NULL::jsonb
    FROM jsonb_array_elements(_entries);
END
$function$;
