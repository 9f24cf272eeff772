-- Returns the messages that match a query, [{"categories": [...], "types": [...], "tags": [...]}, ...], in order, starting
-- at a global position: those that match any of its items, by one of the categories, one of the types, and all tags.
--
-- Messages above `up_to` are left out. It must be a position that is settled in the categories; NULL stands for the last one
-- that is.
CREATE FUNCTION {schema}.get_query_messages(
  query jsonb,
  "position" bigint DEFAULT 1,
  batch_size bigint DEFAULT 1000,
  up_to bigint DEFAULT NULL
)
RETURNS SETOF {schema}.message
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET max_parallel_workers_per_gather = 0
SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
  _position constant bigint := coalesce(get_query_messages.position, 1);
  _limit constant bigint := nullif(coalesce(batch_size, 1000), -1);
  _bound bigint := up_to;
BEGIN
  PERFORM {schema}.check_query(query);

  IF _bound IS NULL THEN
    _bound := {schema}.read_bound(
      ARRAY(SELECT unnest(item.categories)::varchar FROM {schema}.query_items(query) AS item)
    );
  END IF;

  RETURN QUERY
    SELECT
      m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
      m.data::varchar, m.metadata::varchar, m.time
    FROM {schema}.messages AS m
    WHERE m.global_position = ANY (ARRAY(SELECT {schema}.find_matches(query, _position, _bound, _limit)))
    ORDER BY m.global_position;
END
$function$;
