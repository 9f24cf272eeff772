-- Completes a restore of messages of a category: checks that they join what is left of their streams, and records what is
-- still deleted. Subqueries are scalar or lateral, and so look up each stream: the statistics lag behind.
--
-- Where versions are forgotten, or a stream has no messages left, what was deleted is not known exactly. Then the position
-- in deleted_positions stays, so that a reader never misses messages without an error.
CREATE FUNCTION {schema}.finish_restore(category varchar)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_nestloop = off
SET max_parallel_workers_per_gather = 0
SET random_page_cost = 0
SET seq_page_cost = 0
SET jit = off
AS $function$
DECLARE
  _highest constant bigint := 9223372036854775807;
  _names text[];
  _versions bigint[];
  _firsts bigint[];
  _wrong record;
BEGIN
  PERFORM {schema}.lock_deletions();

  -- The messages up to the head of a stream are those that were restored.
  SELECT array_agg(stream.stream_name), array_agg(stream.version), array_agg(stream.first)
  INTO _names, _versions, _firsts
  FROM (
    SELECT
      head.stream_name,
      head.version,
      (SELECT min(m.position) FROM {schema}.messages AS m WHERE m.stream_name = head.stream_name) AS first
    FROM {schema}.stream_heads AS head
    WHERE {schema}.category(head.stream_name) = finish_restore.category
  ) AS stream
  WHERE stream.first <= stream.version;

  SELECT stream.name, message.last + 1 AS next, message.position
  INTO _wrong
  FROM unnest(_names, _versions) AS stream (name, version)
  CROSS JOIN LATERAL (
    SELECT
      m.position,
      m.global_position,
      lag(m.position) OVER (ORDER BY m.position) AS last,
      lag(m.global_position) OVER (ORDER BY m.position) AS last_global
    FROM {schema}.messages AS m
    WHERE m.stream_name = stream.name
      -- And the next one, which is left.
      AND m.position <= CASE stream.version WHEN _highest THEN _highest ELSE stream.version + 1 END
  ) AS message
  WHERE message.position <> message.last + 1 OR message.global_position <= message.last_global
  LIMIT 1;

  IF FOUND THEN
    RAISE EXCEPTION '%',
      CASE
        WHEN _wrong.position > _wrong.next
        THEN format(
          'Can''t restore stream %s: positions %s to %s are missing', _wrong.name, _wrong.next, _wrong.position - 1
        )
        ELSE format('Can''t restore stream %s: it was started again at position %s', _wrong.name, _wrong.position)
      END
      USING CONSTRAINT = 'restore_refused', SCHEMA = {schema_name};
  END IF;

  SELECT stream.name, stream.version
  INTO _wrong
  FROM unnest(_names, _versions) AS stream (name, version)
  WHERE stream.version < _highest
    AND (
      SELECT m.position FROM {schema}.messages AS m WHERE m.stream_name = stream.name AND m.position = stream.version
    ) IS NULL
  LIMIT 1;

  IF FOUND THEN
    RAISE EXCEPTION 'Can''t restore stream %: the messages up to position % are missing', _wrong.name, _wrong.version
      USING CONSTRAINT = 'restore_refused', SCHEMA = {schema_name};
  END IF;

  UPDATE {schema}.stream_heads AS head
  SET version = stream.first - 1
  FROM unnest(_names, _firsts) AS stream (name, first)
  WHERE head.stream_name = stream.name AND stream.first > 0;

  DELETE FROM {schema}.stream_heads AS head
  USING unnest(_names, _firsts) AS stream (name, first)
  WHERE head.stream_name = stream.name AND stream.first = 0;

  -- The last deleted message of a stream is before the first one that is left.
  WITH stream AS MATERIALIZED (
    SELECT
      (
        SELECT m.global_position
        FROM {schema}.messages AS m
        WHERE m.stream_name = head.stream_name
        ORDER BY m.position
        LIMIT 1
      ) AS next
    FROM {schema}.stream_heads AS head
    WHERE {schema}.category(head.stream_name) = finish_restore.category
  )
  UPDATE {schema}.deleted_positions AS mark
  SET global_position = least(mark.global_position, (SELECT max(stream.next) - 1 FROM stream))
  WHERE mark.category = finish_restore.category
    AND mark.keeps_versions
    AND NOT EXISTS (SELECT FROM stream WHERE stream.next IS NULL);

  DELETE FROM {schema}.deleted_positions AS mark
  WHERE mark.category = finish_restore.category
    AND mark.keeps_versions
    AND NOT EXISTS (
      SELECT
      FROM {schema}.stream_heads AS head
      WHERE {schema}.category(head.stream_name) = finish_restore.category
    );
END
$function$;
