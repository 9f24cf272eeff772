-- Takes the locks for a write with conditions, [{"query": [...], "after": global position}, ...], to these streams, then
-- looks for the first condition that is not met: there is a message that matches the query after the position. Returns that
-- position and the message's, or NULL if all conditions are met. If the store has not reached the position, the message's is
-- NULL.
--
-- Every other writer to the queries' categories has ended, or waits for their exclusive locks. All categories are locked
-- in the order of their keys, as by lock_streams(), which follows. It would lock the category of many streams as a whole.
-- As there, the plans are forced to be generic.
CREATE FUNCTION {schema}.unmet_condition(
  conditions jsonb,
  stream_names text[],
  OUT after bigint,
  OUT global_position bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  _most_streams constant bigint := 100;
  _isolation constant text := current_setting('transaction_isolation');
  _condition jsonb;
  _last bigint;
BEGIN
  -- The snapshot is older than the locks, and would not show what their last holders wrote.
  IF _isolation IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'Append conditions must be checked at isolation level read committed (Isolation Level: %)', _isolation
      USING
        CONSTRAINT = 'read_not_exact',
        SCHEMA = {schema_name},
        HINT = 'Write on another connection, at READ COMMITTED.';
  END IF;

  IF jsonb_typeof(conditions) IS DISTINCT FROM 'array' THEN
    RAISE EXCEPTION 'Append conditions must be a list: %', coalesce(conditions::text, '<NULL>')
      USING ERRCODE = 'invalid_parameter_value';
  END IF;

  FOR _index IN 0 .. jsonb_array_length(conditions) - 1 LOOP
    _condition := conditions -> _index;

    IF jsonb_typeof(_condition) <> 'object'
      OR _condition - ARRAY['query', 'after'] <> '{}'
      OR coalesce(_condition ->> 'after', '') !~ '^[0-9]{1,18}$'
    THEN
      RAISE EXCEPTION 'An append condition must have a query, and the global position after which nothing may match: %',
        _condition
        USING ERRCODE = 'invalid_parameter_value';
    END IF;

    PERFORM {schema}.check_query(_condition -> 'query');
  END LOOP;

  -- Touches the sequence, so that the granularity can't change until the transaction ends.
  PERFORM pg_sequence_last_value({schema_literal.messages_global_position_seq}::regclass);

  PERFORM CASE WHEN is_exclusive THEN pg_advisory_xact_lock(key) ELSE pg_advisory_xact_lock_shared(key) END
  FROM (
    SELECT
      key,
      bool_or(is_queried)
        OR {schema}.lock_granularity() = 'category'
        OR cardinality(stream_names) > _most_streams AS is_exclusive
    FROM (
      SELECT {schema}.hash_64(name), true
      FROM jsonb_array_elements_text(jsonb_path_query_array(conditions, '$[*].query[*].categories[*]')) AS name
      UNION ALL
      SELECT {schema}.hash_64({schema}.category(name)), false
      FROM unnest(stream_names) AS name
      WHERE name IS NOT NULL
    ) AS category (key, is_queried)
    GROUP BY key
    ORDER BY key
  ) AS category;

  PERFORM {schema}.lock_streams(stream_names);

  -- Drawn after all that was written to the categories.
  _last := {schema}.last_global_position();

  FOR _index IN 0 .. jsonb_array_length(conditions) - 1 LOOP
    _condition := conditions -> _index;
    after := (_condition ->> 'after')::bigint;

    IF after > _last THEN
      RETURN;
    END IF;

    -- Nothing was written since.
    CONTINUE WHEN after = _last;

    SELECT match INTO global_position FROM {schema}.find_matches(_condition -> 'query', after + 1, _last, 1) AS match;

    IF FOUND THEN
      RETURN;
    END IF;
  END LOOP;

  after := NULL;
END
$function$;
