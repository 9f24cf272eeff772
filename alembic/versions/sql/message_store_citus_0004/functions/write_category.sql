-- Writes messages of one category, on the node that has its shard. Only write_messages() calls this: Citus delegates it by
-- its first argument, together with the transaction.
--
-- Positions are the numbers after the last one of the category, and each is a unique key of it. So a position is taken only
-- by a transaction that sees the one below it committed, whichever node it runs on, and messages appear in their order. The
-- lock makes writers wait for each other instead of failing.
--
-- What is wrong is returned as `problem`, because Citus does not transfer all fields of an error. Nothing is written then.
CREATE FUNCTION {schema}.write_category(
  category text,
  messages jsonb,
  expected_versions jsonb,
  idempotent boolean
)
RETURNS TABLE (number bigint, "position" bigint, global_position bigint, problem jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
  _category constant text := write_category.category;
  _streams constant text[] := ARRAY(
    SELECT value ->> 'stream_name' FROM jsonb_array_elements(messages)
    UNION
    SELECT jsonb_object_keys(expected_versions)
  );
  _last bigint;
  _versions jsonb;
  _repeats bigint[];
  _different bigint[];
  _wrong_stream text;
  _version bigint;
  _written bigint;
BEGIN
  PERFORM {schema}.lock_shard(_category);
  PERFORM pg_advisory_xact_lock({schema}.hash_64(_category));

  -- Each in a statement of its own: it sees what the last holder of the lock wrote.
  SELECT coalesce(max(m.global_position), 0)
  INTO _last
  FROM {schema}.messages AS m
  WHERE m.category = _category;

  SELECT coalesce(jsonb_object_agg(stream.name, last.position), '{}')
  INTO _versions
  FROM unnest(_streams) AS stream (name)
  CROSS JOIN LATERAL (
    SELECT m.position
    FROM {schema}.messages AS m
    WHERE m.category = _category AND m.stream_name = stream.name
    ORDER BY m.position DESC
    LIMIT 1
  ) AS last
  WHERE stream.name IS NOT NULL;

  SELECT
    coalesce(array_agg(entry.number), '{}'),
    array_agg(entry.number) FILTER (
      WHERE (m.stream_name, m.type, m.data, m.metadata)
        IS DISTINCT FROM (entry.stream_name, entry.type, entry.data, entry.metadata)
    )
  INTO _repeats, _different
  FROM {schema}.message_entries(write_category.messages) AS entry
  JOIN {schema}.messages AS m ON m.category = _category AND m.id = entry.id;

  SELECT
    _repeats || array_agg(entry.number),
    _different || array_agg(entry.number) FILTER (
      WHERE (earlier.stream_name, earlier.type, earlier.data, earlier.metadata)
        IS DISTINCT FROM (entry.stream_name, entry.type, entry.data, entry.metadata)
    )
  INTO _repeats, _different
  FROM {schema}.message_entries(write_category.messages) AS entry
  JOIN {schema}.message_entries(write_category.messages) AS earlier
    ON earlier.id = entry.id AND earlier.number < entry.number
  WHERE entry.number <> ALL (_repeats);

  SELECT expected.name, coalesce((_versions ->> expected.name)::bigint, -1)
  INTO _wrong_stream, _version
  FROM jsonb_each_text(expected_versions) AS expected (name, value)
  WHERE expected.value::bigint <> coalesce((_versions ->> expected.name)::bigint, -1)
  ORDER BY expected.name
  LIMIT 1;

  IF idempotent AND _different <> '{}' OR NOT idempotent AND _wrong_stream IS NULL AND _repeats <> '{}' THEN
    RETURN QUERY
      SELECT
        NULL::bigint, NULL::bigint, NULL::bigint,
        jsonb_build_object('kind', 'duplicate_message_id', 'id', entry.id, 'stream_name', entry.stream_name)
      FROM {schema}.message_entries(write_category.messages) AS entry
      WHERE entry.number = ANY (CASE WHEN idempotent THEN _different ELSE _repeats END)
      ORDER BY entry.number
      LIMIT 1;
    RETURN;
  END IF;

  IF _wrong_stream IS NOT NULL
    AND NOT (idempotent AND _repeats <> '{}' AND cardinality(_repeats) = jsonb_array_length(messages))
  THEN
    RETURN QUERY
      SELECT
        NULL::bigint, NULL::bigint, NULL::bigint,
        jsonb_build_object('kind', 'wrong_expected_version', 'stream_name', _wrong_stream, 'version', _version);
    RETURN;
  END IF;

  IF cardinality(_repeats) < jsonb_array_length(messages) THEN
    INSERT INTO {schema}.messages (category, global_position, stream_name, position, id, type, data, metadata)
    SELECT
      _category,
      _last + row_number() OVER (ORDER BY entry.number),
      entry.stream_name,
      coalesce((_versions ->> entry.stream_name)::bigint, -1)
        + row_number() OVER (PARTITION BY entry.stream_name ORDER BY entry.number),
      entry.id,
      entry.type,
      entry.data,
      entry.metadata
    FROM {schema}.message_entries(write_category.messages) AS entry
    WHERE entry.number <> ALL (_repeats)
    ON CONFLICT DO NOTHING;

    GET DIAGNOSTICS _written = ROW_COUNT;

    -- Only an insert that did not take the lock gets here.
    IF _written < jsonb_array_length(messages) - cardinality(_repeats) THEN
      RAISE EXCEPTION 'The category % was written to without its lock', _category
        USING ERRCODE = 'serialization_failure';
    END IF;
  END IF;

  RETURN QUERY
    SELECT entry.number, m.position, m.global_position, NULL::jsonb
    FROM {schema}.message_entries(write_category.messages) AS entry
    JOIN {schema}.messages AS m ON m.category = _category AND m.id = entry.id;
END
$function$;
