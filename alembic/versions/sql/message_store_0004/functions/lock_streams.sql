-- Locks streams for writing and returns their versions, -1 for a stream that does not exist. The names
-- must be distinct. All locks of categories come before all locks of streams, each kind in the order
-- of its keys, so that two callers never deadlock. The plans are forced to be generic: the planner
-- prefers those that know the number of streams, and would plan each call again.
CREATE OR REPLACE FUNCTION {schema}.lock_streams(stream_names text[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  _messages constant oid := {schema_literal.messages}::regclass;
  -- Beyond this many streams in a transaction, the categories with the most streams are locked
  -- instead: locks live in shared memory, which many thousands of them would fill.
  _most_streams constant bigint := 100;
  _setting constant text := 'message_store.streams_' || _messages;
  _asked_for bigint;
  _room bigint;
  _held bigint[] := '{}';
  _by_stream bigint[] := '{}';
BEGIN
  -- Touches the sequence, so that the granularity can't change until the transaction ends.
  PERFORM pg_sequence_last_value({schema_literal.messages_global_position_seq}::regclass);

  IF {schema}.lock_granularity() = 'stream' THEN
    _asked_for := coalesce(nullif(current_setting(_setting, true), '')::bigint, 0);
    _room := _most_streams - _asked_for;
    PERFORM set_config(_setting, (_asked_for + cardinality(stream_names))::text, true);

    -- Streams may have been counted twice, and write_message() does not count: look at the locks held.
    IF cardinality(stream_names) > _room THEN
      _held := ARRAY(
        SELECT (classid::bigint << 32) | objid::bigint
        FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ExclusiveLock' AND pid = pg_backend_pid()
      );
      _room := greatest(_most_streams - cardinality(_held), 0);
    END IF;

    _by_stream := ARRAY(
      SELECT category_key
      FROM (
        SELECT category_key, sum(number) OVER (ORDER BY number, category_key) AS total
        FROM (
          SELECT
            {schema}.hash_64({schema}.category(name)) AS category_key,
            count(*) FILTER (WHERE hashtextextended(name, _messages::bigint) <> ALL (_held)) AS number
          FROM unnest(stream_names) AS name
          WHERE name IS NOT NULL
          GROUP BY 1
        ) AS category
      ) AS category
      WHERE total <= _room
    );
  END IF;

  PERFORM CASE
    WHEN key = ANY (_by_stream) THEN pg_advisory_xact_lock_shared(key)
    ELSE pg_advisory_xact_lock(key)
  END
  FROM (
    SELECT DISTINCT {schema}.hash_64({schema}.category(name)) AS key
    FROM unnest(stream_names) AS name
    WHERE name IS NOT NULL
    ORDER BY 1
  ) AS category;

  IF _by_stream <> '{}' THEN
    PERFORM pg_advisory_xact_lock(key)
    FROM (
      SELECT hashtextextended(name, _messages::bigint) AS key
      FROM unnest(stream_names) AS name
      WHERE {schema}.hash_64({schema}.category(name)) = ANY (_by_stream)
      ORDER BY 1
    ) AS stream;
  END IF;

  -- A separate statement: under READ COMMITTED it sees what the last holders of the locks wrote.
  RETURN ARRAY(
    SELECT
      coalesce(
        (SELECT max(position) FROM {schema}.messages WHERE stream_name = name),
        (SELECT version FROM {schema}.stream_heads WHERE stream_name = name),
        -1
      )
    FROM unnest(stream_names) WITH ORDINALITY AS stream (name, number)
    ORDER BY number
  );
END
$function$;
