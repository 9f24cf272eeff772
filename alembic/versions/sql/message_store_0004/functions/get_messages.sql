CREATE OR REPLACE FUNCTION {schema}.get_messages(
  categories varchar[] DEFAULT NULL,
  "position" bigint DEFAULT 1,
  batch_size bigint DEFAULT 1000,
  correlation varchar DEFAULT NULL,
  consumer_group_member bigint DEFAULT NULL,
  consumer_group_size bigint DEFAULT NULL,
  condition varchar DEFAULT NULL
)
RETURNS SETOF {schema}.message
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET max_parallel_workers_per_gather = 0
SET random_page_cost = 0
SET seq_page_cost = 0
SET jit = off
AS $function$
DECLARE
  _position bigint := coalesce(get_messages.position, 1);
  _limit bigint := nullif(coalesce(batch_size, 1000), -1);
  _stream_name varchar;
  _bound bigint;
  _debug boolean := {schema}.is_on('message_store.debug_get') OR {schema}.is_on('message_store.debug');
  _is_empty boolean;
  _filter text := '';
  _source text;
  _command text;
BEGIN
  SELECT name INTO _stream_name FROM pg_catalog.unnest(categories) AS name WHERE NOT {schema}.is_category(name) LIMIT 1;

  IF FOUND THEN
    RAISE EXCEPTION 'Must be a category: %', _stream_name
      USING
        CONSTRAINT = 'not_a_category',
        SCHEMA = {schema_name},
        DETAIL = pg_catalog.json_build_object('category', _stream_name)::text;
  END IF;

  PERFORM {schema}.check_filters(correlation, consumer_group_member, consumer_group_size);

  IF correlation IS NOT NULL THEN
    _filter := $sql$
          AND {schema}.category(metadata OPERATOR(pg_catalog.->>) 'correlationStreamName') OPERATOR(pg_catalog.=) $4$sql$;
  END IF;

  IF consumer_group_size IS NOT NULL THEN
    _filter := _filter || $sql$
          AND {schema}.is_member(stream_name, $5, $6)$sql$;
  END IF;

  _filter := {schema}.conditional_command(_filter, condition);

  -- As in get_category_messages(). Where nothing is, the bound stays NULL, with which a condition is checked and no more.
  IF _debug OR _limit OPERATOR(pg_catalog.<) 0 THEN
    _is_empty := false;
  ELSIF categories IS NULL THEN
    SELECT false
    INTO _is_empty
    FROM {schema}.messages AS m
    WHERE m.global_position >= _position
    ORDER BY m.global_position
    LIMIT least(_limit, 1);
  ELSE
    SELECT false
    INTO _is_empty
    FROM pg_catalog.unnest(categories) AS category (name)
    CROSS JOIN LATERAL (
      SELECT
      FROM {schema}.messages AS m
      WHERE {schema}.category(m.stream_name) OPERATOR(pg_catalog.=) category.name
        AND m.global_position >= _position
      ORDER BY m.global_position
      LIMIT least(_limit, 1)
    ) AS m
    LIMIT least(_limit, 1);
  END IF;

  _is_empty := coalesce(
    _is_empty,
    current_setting('transaction_isolation') OPERATOR(pg_catalog.=) 'read committed' AND NOT pg_is_in_recovery()
  );

  IF _is_empty AND condition IS NULL THEN
    RETURN;
  ELSIF NOT _is_empty THEN
    _bound := {schema}.read_bound(categories);
  END IF;

  IF categories IS NULL THEN
    _source := $sql$
        SELECT *
        FROM {schema}.messages
        WHERE global_position >= $2 AND global_position <= $7$sql$ || _filter;
  ELSE
    -- Up to a whole batch of each category, read in index order.
    _source := $sql$
        SELECT message.*
        FROM (SELECT DISTINCT name FROM pg_catalog.unnest($1) AS name) AS category
        CROSS JOIN LATERAL (
          SELECT *
          FROM {schema}.messages
          WHERE {schema}.category(stream_name) OPERATOR(pg_catalog.=) category.name
            AND global_position >= $2
            AND global_position <= $7$sql$ || _filter || $sql$
          ORDER BY global_position
          LIMIT $3
        ) AS message$sql$;
  END IF;

  _command := $sql$
    SELECT
      id::varchar, stream_name::varchar, type::varchar, position, global_position,
      data::varchar, metadata::varchar, time
    FROM ($sql$ || _source || $sql$
        ORDER BY global_position
        LIMIT $3
    ) AS message$sql$;

  IF _debug THEN
    RAISE NOTICE '% get_messages', chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 187 ELSE 62 END);
    RAISE NOTICE 'categories ($1): %', categories;
    RAISE NOTICE 'position ($2): %', _position;
    RAISE NOTICE 'batch_size ($3): %', coalesce(batch_size, 1000);
    RAISE NOTICE 'correlation ($4): %', correlation;
    RAISE NOTICE 'consumer_group_member ($5): %', consumer_group_member;
    RAISE NOTICE 'consumer_group_size ($6): %', consumer_group_size;
    RAISE NOTICE 'condition: %', condition;
    RAISE NOTICE 'bound ($7): %', _bound;
    RAISE NOTICE 'Generated Command: %', _command;
  END IF;

  RETURN QUERY EXECUTE _command
    USING
      categories, _position, _limit, correlation, consumer_group_member, consumer_group_size, _bound;
END
$function$;
