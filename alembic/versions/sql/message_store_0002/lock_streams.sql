-- Locks streams for writing and returns their versions, -1 for a stream without messages. The names
-- must be distinct. All locks of categories come before all locks of streams, each kind in the order
-- of its keys, so that two callers never wait for each other.
CREATE FUNCTION {schema}.lock_streams(stream_names text[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  -- More streams than this of one category, and the category is locked instead: locks are kept in
  -- shared memory, which many thousands of them would fill.
  _most_streams constant bigint := 100;
  _by_stream boolean;
BEGIN
  -- Touches the sequence, so that the granularity stays what it is until the transaction ends.
  PERFORM pg_sequence_last_value({schema_literal.messages_global_position_seq}::regclass);
  _by_stream := {schema}.lock_granularity() = 'stream';

  PERFORM CASE
    WHEN _by_stream AND number <= _most_streams THEN pg_advisory_xact_lock_shared(key)
    ELSE pg_advisory_xact_lock(key)
  END
  FROM (
    SELECT {schema}.hash_64({schema}.category(name)) AS key, count(*) AS number
    FROM unnest(stream_names) AS name
    WHERE name IS NOT NULL
    GROUP BY 1
    ORDER BY 1
  ) AS category;

  IF _by_stream THEN
    PERFORM pg_advisory_xact_lock(key)
    FROM (
      SELECT hashtextextended(name, {schema_literal.messages}::regclass::oid::bigint) AS key
      FROM (
        SELECT name, count(*) OVER (PARTITION BY {schema}.category(name)) AS number
        FROM unnest(stream_names) AS name
      ) AS stream
      WHERE number <= _most_streams AND name IS NOT NULL
      ORDER BY 1
    ) AS stream;
  END IF;

  -- A statement of its own: under READ COMMITTED it sees what the locks' last holders wrote.
  RETURN ARRAY(
    SELECT coalesce((SELECT max(position) FROM {schema}.messages WHERE stream_name = name), -1)
    FROM unnest(stream_names) WITH ORDINALITY AS stream (name, number)
    ORDER BY number
  );
END
$function$;
