CREATE OR REPLACE FUNCTION {schema}.get_stream_messages(
  stream_name varchar,
  "position" bigint DEFAULT 0,
  batch_size bigint DEFAULT 1000,
  condition varchar DEFAULT NULL
)
RETURNS SETOF {schema}.message
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $function$
DECLARE
  _position bigint := coalesce(get_stream_messages.position, 0);
  _limit bigint := nullif(coalesce(batch_size, 1000), -1);
  _debug boolean := {schema}.is_on('message_store.debug_get') OR {schema}.is_on('message_store.debug');
  _command text;
BEGIN
  IF {schema}.is_category(stream_name) THEN
    RAISE EXCEPTION 'Must be a stream name: %', stream_name
      USING
        CONSTRAINT = 'not_a_stream',
        SCHEMA = {schema_name},
        DETAIL = pg_catalog.json_build_object('stream_name', stream_name)::text;
  END IF;

  IF condition IS NULL AND _debug IS NOT TRUE THEN
    -- Static on purpose: one generic plan serves every stream, and planning was most of the cost. It is
    -- forced, because the planner prefers a custom plan that knows the limit.
    RETURN QUERY
      SELECT
        m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
        m.data::varchar, m.metadata::varchar, m.time
      FROM {schema}.messages AS m
      WHERE m.stream_name OPERATOR(pg_catalog.=) get_stream_messages.stream_name AND m.position >= _position
      ORDER BY m.position
      LIMIT _limit;
    RETURN;
  END IF;

  _command := {schema}.conditional_command($sql$
    SELECT
      id::varchar, stream_name::varchar, type::varchar, position, global_position,
      data::varchar, metadata::varchar, time
    FROM {schema}.messages
    WHERE stream_name OPERATOR(pg_catalog.=) $1 AND position >= $2$sql$, condition) || $sql$
    ORDER BY position
    LIMIT $3$sql$;

  IF _debug THEN
    RAISE NOTICE '% get_stream_messages', chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 187 ELSE 62 END);
    RAISE NOTICE 'stream_name ($1): %', stream_name;
    RAISE NOTICE 'position ($2): %', _position;
    RAISE NOTICE 'batch_size ($3): %', coalesce(batch_size, 1000);
    RAISE NOTICE 'condition: %', condition;
    RAISE NOTICE 'Generated Command: %', _command;
  END IF;

  RETURN QUERY EXECUTE _command USING stream_name, _position, _limit;
END
$function$;
