-- Refuses a write whose conditions are not met, unless all of its messages are stored already and it is `idempotent`. Takes
-- the locks for it in any case.
CREATE FUNCTION {schema}.check_conditions(
  conditions jsonb,
  messages jsonb,
  expected_versions jsonb,
  idempotent boolean
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  _after bigint;
  _global_position bigint;
BEGIN
  SELECT unmet.after, unmet.global_position
  INTO _after, _global_position
  FROM {schema}.unmet_condition(
    conditions,
    ARRAY(
      SELECT value ->> 'stream_name' FROM jsonb_array_elements(messages)
      UNION
      SELECT jsonb_object_keys(expected_versions)
    )
  ) AS unmet;

  IF _after IS NULL THEN
    RETURN;
  END IF;

  IF idempotent AND messages <> '[]' THEN
    IF cardinality({schema}.find_repeats(messages)) = jsonb_array_length(messages) THEN
      RETURN;
    END IF;
  END IF;

  RAISE EXCEPTION '%',
    CASE
      WHEN _global_position IS NULL
      THEN format('Append condition failed: the store has not reached the position that was read (After: %s)', _after)
      ELSE format(
        'Append condition failed: a message matches after the position that was read (Global Position: %s, After: %s)',
        _global_position, _after
      )
    END
    USING
      CONSTRAINT = 'append_condition_failed',
      SCHEMA = {schema_name},
      DETAIL = json_build_object('global_position', _global_position, 'after', _after)::text;
END
$function$;
