CREATE OR REPLACE FUNCTION {schema}.get_category_messages(
  category varchar,
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
-- The planner must use the index of the category, whatever the statistics say. The primary key has the
-- same order, and for a category that was a large part of the table at the last ANALYZE, but is absent
-- from the part that is read, it would be scanned from end to end. With pages free of cost, comparisons
-- decide, and the index that covers the whole condition always has the fewest.
DECLARE
  _position bigint := coalesce(get_category_messages.position, 1);
  _limit bigint := nullif(coalesce(batch_size, 1000), -1);
  _debug boolean := {schema}.is_on('message_store.debug_get') OR {schema}.is_on('message_store.debug');
  _by_category boolean := {schema}.lock_granularity() OPERATOR(pg_catalog.=) 'category';
  _bound bigint := 9223372036854775807;
  _set_by xid;
  _filter text := '';
  _command text;
BEGIN
  IF NOT {schema}.is_category(category) THEN
    RAISE EXCEPTION 'Must be a category: %', category
      USING
        CONSTRAINT = 'not_a_category',
        SCHEMA = {schema_name},
        DETAIL = pg_catalog.json_build_object('category', category)::text;
  END IF;

  IF correlation IS NOT NULL OR consumer_group_member IS NOT NULL OR consumer_group_size IS NOT NULL THEN
    PERFORM {schema}.check_filters(correlation, consumer_group_member, consumer_group_size);
  END IF;

  IF condition IS NOT NULL OR _debug THEN
    -- This statement is planned for each call, so it is written to be cheap to plan. category() is written out, as it is
    -- inlined in the expressions of the index. Subqueries hide the positions: for a known one, the planner may look up the
    -- first or the last in the index, to estimate how many messages there are. With a correlation, PostgreSQL 18 needs the
    -- estimate to choose that index instead of the primary key.
    _filter := CASE
      WHEN correlation IS NULL THEN $sql$
        AND global_position >= (SELECT $2)$sql$
      ELSE $sql$
        AND global_position >= $2
        AND pg_catalog.split_part(metadata OPERATOR(pg_catalog.->>) 'correlationStreamName', '-', 1)::varchar OPERATOR(pg_catalog.=) $4$sql$
    END;

    IF consumer_group_size IS NOT NULL THEN
      _filter := _filter || $sql$
        AND {schema}.is_member(stream_name, $5, $6)$sql$;
    END IF;

    _filter := {schema}.conditional_command(_filter, condition);
  END IF;

  -- What is polled has mostly nothing new, and then needs no bound. The statement has the form of the reads, and with it
  -- their plan. On a standby and at other isolation levels, the bound may refuse the read; a negative limit is refused
  -- after the condition, which must be planned to be checked.
  IF condition IS NULL AND NOT _debug AND coalesce(_limit, 1) OPERATOR(pg_catalog.>=) 0 THEN
    PERFORM
    FROM {schema}.messages AS m
    WHERE {schema}.category(m.stream_name) OPERATOR(pg_catalog.=) get_category_messages.category
      AND m.global_position >= _position
    ORDER BY m.global_position
    LIMIT least(_limit, 1);

    IF NOT FOUND
      AND current_setting('transaction_isolation') OPERATOR(pg_catalog.=) 'read committed'
      AND NOT pg_is_in_recovery()
    THEN
      RETURN;
    END IF;
  END IF;

  LOOP
    IF _by_category THEN
      SELECT xmin INTO _set_by FROM pg_catalog.pg_proc
      WHERE oid OPERATOR(pg_catalog.=) {schema_literal.lock_granularity()}::pg_catalog.regprocedure;
    ELSE
      _bound := {schema}.read_bound(ARRAY[category]);
    END IF;

    IF condition IS NOT NULL OR _debug THEN
      _command := $sql$
      SELECT
        id::varchar, stream_name::varchar, type::varchar, position, global_position,
        data::varchar, metadata::varchar, time
      FROM {schema}.messages
      WHERE pg_catalog.split_part(stream_name, '-', 1)::varchar OPERATOR(pg_catalog.=) $1$sql$;

      _command := _command || _filter || CASE
        WHEN _by_category THEN $sql$
        AND {schema}.locks_categories()$sql$
        WHEN correlation IS NULL THEN $sql$
        AND global_position <= (SELECT $7)$sql$
        ELSE ''
      END || $sql$
      ORDER BY global_position
      LIMIT $3$sql$;

      -- The correlation may skip most entries of the index, so the bound is applied to what it finds.
      IF correlation IS NOT NULL AND NOT _by_category THEN
        _command := 'SELECT * FROM (' || _command || $sql$
      ) AS message WHERE global_position <= $7$sql$;
      END IF;

      IF _debug THEN
        RAISE NOTICE '% get_category_messages', chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 187 ELSE 62 END);
        RAISE NOTICE 'category ($1): %', category;
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
          category, _position, _limit, correlation, consumer_group_member, consumer_group_size, _bound;
    ELSIF correlation IS NULL AND consumer_group_size IS NULL THEN
      RETURN QUERY
        SELECT
          m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
          m.data::varchar, m.metadata::varchar, m.time
        FROM {schema}.messages AS m
        WHERE {schema}.category(m.stream_name) OPERATOR(pg_catalog.=) get_category_messages.category
          AND m.global_position >= _position
          AND m.global_position <= _bound
          AND (NOT _by_category OR {schema}.locks_categories())
        ORDER BY m.global_position
        LIMIT _limit;
    ELSIF correlation IS NULL THEN
      RETURN QUERY
        SELECT
          m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
          m.data::varchar, m.metadata::varchar, m.time
        FROM {schema}.messages AS m
        WHERE {schema}.category(m.stream_name) OPERATOR(pg_catalog.=) get_category_messages.category
          AND m.global_position >= _position
          AND m.global_position <= _bound
          AND {schema}.is_member(m.stream_name, consumer_group_member, consumer_group_size)
          AND (NOT _by_category OR {schema}.locks_categories())
        ORDER BY m.global_position
        LIMIT _limit;
    ELSIF _by_category THEN
      RETURN QUERY
        SELECT
          m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
          m.data::varchar, m.metadata::varchar, m.time
        FROM {schema}.messages AS m
        WHERE {schema}.category(m.stream_name) OPERATOR(pg_catalog.=) get_category_messages.category
          AND m.global_position >= _position
          AND {schema}.category(m.metadata OPERATOR(pg_catalog.->>) 'correlationStreamName') OPERATOR(pg_catalog.=) correlation
          AND {schema}.is_member(m.stream_name, consumer_group_member, consumer_group_size)
          AND {schema}.locks_categories()
        ORDER BY m.global_position
        LIMIT _limit;
    ELSE
      RETURN QUERY
        SELECT
          m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
          m.data::varchar, m.metadata::varchar, m.time
        FROM (
          SELECT *
          FROM {schema}.messages AS m
          WHERE {schema}.category(m.stream_name) OPERATOR(pg_catalog.=) get_category_messages.category
            AND m.global_position >= _position
            AND {schema}.category(m.metadata OPERATOR(pg_catalog.->>) 'correlationStreamName') OPERATOR(pg_catalog.=) correlation
            AND {schema}.is_member(m.stream_name, consumer_group_member, consumer_group_size)
          ORDER BY m.global_position
          LIMIT _limit
        ) AS m
        WHERE m.global_position <= _bound;
    END IF;

    -- While each category has one writer at a time, every snapshot that sees this granularity has the
    -- messages of the category in order. A snapshot that sees the other one returns nothing, and the
    -- read is repeated, as it is if the granularity was set meanwhile: it may have been the other one
    -- for a moment.
    EXIT WHEN FOUND OR NOT _by_category;
    _by_category := {schema}.locks_categories();
    EXIT WHEN _by_category AND _set_by = (
      SELECT xmin FROM pg_catalog.pg_proc WHERE oid OPERATOR(pg_catalog.=) {schema_literal.lock_granularity()}::pg_catalog.regprocedure
    );
  END LOOP;
END
$function$;
