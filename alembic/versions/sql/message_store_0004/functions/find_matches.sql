-- Returns the global positions, from `first` to `last` and in order, of messages that match a query: at most `number`, or
-- all for NULL.
--
-- A category is scanned if few messages can lie between, or if the query wants it whatever the tags are. Otherwise, tags are
-- looked up in their index, whose entries have no order: all messages with the tags are visited. Both plans are the same for
-- any statistics. What is not the index of the tags is hidden from the planner by expressions, and OFFSET makes it look up
-- the tags of each item.
CREATE FUNCTION {schema}.find_matches(query jsonb, first bigint, last bigint, number bigint)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET max_parallel_workers_per_gather = 0
SET random_page_cost = 0
SET seq_page_cost = 0
SET jit = off
AS $function$
DECLARE
  _few constant bigint := 1000;
  _scanned constant text[] := ARRAY(
    SELECT DISTINCT name
    FROM {schema}.query_items(query) AS item
    CROSS JOIN unnest(item.categories) AS name
    WHERE item.tags IS NULL OR last - first < _few
  );
BEGIN
  RETURN QUERY
    WITH item AS MATERIALIZED (
      SELECT categories, types, tags FROM {schema}.query_items(query)
    )
    SELECT found.global_position
    FROM (
      SELECT scanned.global_position
      FROM unnest(_scanned) AS category (name)
      CROSS JOIN LATERAL (
        SELECT m.global_position
        FROM {schema}.messages AS m
        WHERE {schema}.category(m.stream_name) = category.name
          AND m.global_position >= first
          AND m.global_position <= last
          AND EXISTS (
            SELECT
            FROM item
            WHERE category.name = ANY (item.categories)
              AND (item.types IS NULL OR m.type = ANY (item.types))
              AND (item.tags IS NULL OR m.metadata -> 'tags' @> item.tags)
          )
        ORDER BY m.global_position
        LIMIT number
      ) AS scanned
      UNION
      SELECT tagged.global_position
      FROM item
      CROSS JOIN LATERAL (
        SELECT m.global_position
        FROM {schema}.messages AS m
        WHERE m.metadata ? 'tags'
          AND m.metadata -> 'tags' @> item.tags
          AND m.global_position + 0 BETWEEN first AND last
          AND {schema}.category(m.stream_name) || '' = ANY (item.categories)
          AND (item.types IS NULL OR m.type = ANY (item.types))
        OFFSET 0
      ) AS tagged
      WHERE item.tags IS NOT NULL AND NOT item.categories <@ _scanned
    ) AS found
    ORDER BY found.global_position
    LIMIT number;
END
$function$;
