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
SET jit = off
AS $function$
DECLARE
  _position bigint := coalesce(get_category_messages.position, 1);
  _limit bigint := nullif(coalesce(batch_size, 1000), -1);
  _debug boolean := 'on' IN (current_setting('message_store.debug_get', true), current_setting('message_store.debug', true));
  _by_category boolean := {schema}.lock_granularity() OPERATOR(pg_catalog.=) 'category';
  _bound bigint := 9223372036854775807;
  _set_by xid;
  _command text;
BEGIN
  IF NOT {schema}.is_category(category) THEN
    RAISE EXCEPTION 'Must be a category: %', category
      USING ERRCODE = {schema}.error_code('MS003');
  END IF;

  PERFORM {schema}.check_filters(correlation, consumer_group_member, consumer_group_size);

  -- Rows are compared and sorted by category and global position together, so that no index but
  -- messages_category serves. For a category that is a large part of the table, but not of the part
  -- that is read, the planner would take the primary key, and read all that.
  IF correlation IS NOT NULL OR condition IS NOT NULL OR _debug THEN
    _command := $sql$
      SELECT
        id::varchar, stream_name::varchar, type::varchar, position, global_position,
        data::varchar, metadata::varchar, time
      FROM {schema}.messages
      WHERE ({schema}.category(stream_name), global_position) OPERATOR(pg_catalog.>=) ($1, $2)
        AND ({schema}.category(stream_name), global_position) OPERATOR(pg_catalog.<=) ($1, $7)
        AND ($8 IS NOT TRUE OR {schema}.granularity_of_snapshot() OPERATOR(pg_catalog.=) 'category')$sql$;

    IF correlation IS NOT NULL THEN
      _command := _command || $sql$
        AND {schema}.category(metadata OPERATOR(pg_catalog.->>) 'correlationStreamName') OPERATOR(pg_catalog.=) $4$sql$;
    END IF;

    IF consumer_group_size IS NOT NULL THEN
      _command := _command || $sql$
        AND {schema}.is_member(stream_name, $5, $6)$sql$;
    END IF;

    _command := {schema}.conditional_command(_command, condition) || $sql$
      ORDER BY {schema}.category(stream_name), global_position
      LIMIT $3$sql$;
  END IF;

  LOOP
    IF _by_category THEN
      SELECT xmin INTO _set_by FROM pg_catalog.pg_proc
      WHERE oid OPERATOR(pg_catalog.=) {schema_literal.lock_granularity()}::regprocedure;
    ELSE
      _bound := {schema}.read_bound(ARRAY[category]);
    END IF;

    IF _debug THEN
      RAISE NOTICE '» get_category_messages';
      RAISE NOTICE 'category ($1): %', category;
      RAISE NOTICE 'position ($2): %', _position;
      RAISE NOTICE 'batch_size ($3): %', coalesce(batch_size, 1000);
      RAISE NOTICE 'correlation ($4): %', correlation;
      RAISE NOTICE 'consumer_group_member ($5): %', consumer_group_member;
      RAISE NOTICE 'consumer_group_size ($6): %', consumer_group_size;
      RAISE NOTICE 'condition: %', condition;
      RAISE NOTICE 'bound ($7): %', _bound;
      RAISE NOTICE 'locked by category ($8): %', _by_category;
      RAISE NOTICE 'Generated Command: %', _command;
    END IF;

    IF _command IS NULL THEN
      RETURN QUERY
        SELECT
          m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
          m.data::varchar, m.metadata::varchar, m.time
        FROM {schema}.messages AS m
        WHERE ({schema}.category(m.stream_name), m.global_position) OPERATOR(pg_catalog.>=) (get_category_messages.category, _position)
          AND ({schema}.category(m.stream_name), m.global_position) OPERATOR(pg_catalog.<=) (get_category_messages.category, _bound)
          AND (_by_category IS NOT TRUE OR {schema}.granularity_of_snapshot() OPERATOR(pg_catalog.=) 'category')
          AND {schema}.is_member(m.stream_name, consumer_group_member, consumer_group_size)
        ORDER BY {schema}.category(m.stream_name), m.global_position
        LIMIT _limit;
    ELSE
      RETURN QUERY EXECUTE _command
        USING
          category, _position, _limit, correlation, consumer_group_member, consumer_group_size,
          _bound, _by_category;
    END IF;

    -- While each category has one writer at a time, any snapshot that sees this granularity has the
    -- category's messages in order. One that sees the other returns nothing, and it is done again, as
    -- it is if the granularity was set in the meantime: it may have been the other for a moment.
    EXIT WHEN FOUND OR NOT _by_category;
    _by_category := {schema}.granularity_of_snapshot() OPERATOR(pg_catalog.=) 'category';
    EXIT WHEN _by_category AND _set_by = (
      SELECT xmin FROM pg_catalog.pg_proc WHERE oid OPERATOR(pg_catalog.=) {schema_literal.lock_granularity()}::regprocedure
    );
  END LOOP;
END
$function$;
