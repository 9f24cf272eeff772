-- Finds the next messages of a category that no rule of its retention policy keeps, among the `batch_size` messages after
-- the global position `after`, up to `up_to`: those that are older than `older_than`, and not among the last `keep_last` of
-- their stream. NULL stands for no rule, and for no limit. Messages of a stream with dead letters are kept from the first
-- one on.
--
-- The messages of a stream expire in their order. `scanned` is the global position to continue after, NULL at the end. With
-- `counting`, global positions are not returned, and messages that an earlier call has found may still be there.
CREATE FUNCTION {schema}.expired_messages(
  category varchar,
  older_than timestamp,
  keep_last bigint,
  up_to bigint,
  after bigint,
  batch_size bigint,
  counting boolean DEFAULT false,
  OUT number bigint,
  OUT global_positions bigint[],
  OUT first_global_position bigint,
  OUT last_global_position bigint,
  OUT first_time timestamp,
  OUT last_time timestamp,
  OUT scanned bigint
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET max_parallel_workers_per_gather = 0
SET random_page_cost = 0
SET seq_page_cost = 0
SET jit = off
AS $function$
#variable_conflict use_variable
DECLARE
  _first bigint := expired_messages.after;
  _last bigint := expired_messages.up_to;
  _middle bigint;
  _found bigint;
  _time timestamp;
  _examined bigint;
BEGIN
  -- Positions are drawn in about the order of the times, so a bisection saves reading everything that is kept. Where they
  -- are not, a message expires when those before it do.
  IF older_than IS NOT NULL THEN
    WHILE _first < _last LOOP
      _middle := _first + (_last - _first + 1) / 2;

      SELECT m.global_position, m.time
      INTO _found, _time
      FROM {schema}.messages AS m
      WHERE m.global_position BETWEEN _middle AND _last
      ORDER BY m.global_position
      LIMIT 1;

      IF FOUND AND _time < older_than THEN
        _first := _found;
      ELSE
        _last := _middle - 1;
      END IF;
    END LOOP;
  END IF;

  WITH batch AS MATERIALIZED (
    SELECT m.global_position, m.stream_name, m.position, m.time
    FROM {schema}.messages AS m
    WHERE {schema}.category(m.stream_name) = expired_messages.category
      AND m.global_position > after
      AND m.global_position <= _last
    ORDER BY {schema}.category(m.stream_name), m.global_position
    LIMIT batch_size
  ), stream AS MATERIALIZED (
    SELECT
      name,
      (SELECT min(m.position) FROM {schema}.messages AS m WHERE m.stream_name = name) AS first_position,
      CASE
        WHEN keep_last IS NOT NULL
        THEN (SELECT max(m.position) FROM {schema}.messages AS m WHERE m.stream_name = name) - keep_last
      END AS last_position,
      (SELECT min(letter.position) FROM {schema}.dead_letters AS letter WHERE letter.stream_name = name) AS dead_letter
    FROM (SELECT DISTINCT stream_name FROM batch) AS streams (name)
  ), judged AS (
    SELECT
      batch.global_position,
      batch.time,
      bool_and(
        (older_than IS NULL OR batch.time < older_than)
        AND (keep_last IS NULL OR batch.position <= stream.last_position)
        AND (stream.dead_letter IS NULL OR batch.position < stream.dead_letter)
      ) OVER (PARTITION BY batch.stream_name ORDER BY batch.position)
        AND (counting OR min(batch.position) OVER (PARTITION BY batch.stream_name) = stream.first_position) AS is_expired
    FROM batch
    JOIN stream ON stream.name = batch.stream_name
  )
  SELECT
    count(*) FILTER (WHERE is_expired),
    array_agg(judged.global_position) FILTER (WHERE is_expired AND NOT counting),
    min(judged.global_position) FILTER (WHERE is_expired),
    max(judged.global_position) FILTER (WHERE is_expired),
    min(judged.time) FILTER (WHERE is_expired),
    max(judged.time) FILTER (WHERE is_expired),
    max(judged.global_position),
    count(*)
  INTO
    number, global_positions, first_global_position, last_global_position, first_time, last_time, scanned, _examined
  FROM judged;

  IF batch_size IS NULL OR _examined < batch_size THEN
    scanned := NULL;
  END IF;
END
$function$;
