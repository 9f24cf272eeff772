CREATE OR REPLACE FUNCTION {schema}.get_stream_messages(
  stream_name varchar,
  "position" bigint DEFAULT 0,
  batch_size bigint DEFAULT 1000,
  condition varchar DEFAULT NULL
)
RETURNS SETOF {schema}.message
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $function$
DECLARE
  _category constant text := {schema}.category(stream_name);
  _position constant bigint := coalesce(get_stream_messages.position, 0);
  _limit constant bigint := nullif(coalesce(batch_size, 1000), -1);
BEGIN
  IF {schema}.is_category(stream_name) THEN
    RAISE EXCEPTION 'Must be a stream name: %', stream_name
      USING
        CONSTRAINT = 'not_a_stream',
        SCHEMA = {schema_name},
        DETAIL = pg_catalog.json_build_object('stream_name', stream_name)::text;
  END IF;

  IF condition IS NULL THEN
    RETURN QUERY
      SELECT
        m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
        m.data::varchar, m.metadata::varchar, m.time
      FROM {schema}.messages AS m
      WHERE m.category OPERATOR(pg_catalog.=) _category
        AND m.stream_name OPERATOR(pg_catalog.=) get_stream_messages.stream_name
        AND m.position >= _position
      ORDER BY m.position
      LIMIT _limit;
    RETURN;
  END IF;

  RETURN QUERY EXECUTE {schema}.conditional_command($sql$
    SELECT
      id::varchar, stream_name::varchar, type::varchar, position, global_position,
      data::varchar, metadata::varchar, time
    FROM {schema}.messages
    WHERE category OPERATOR(pg_catalog.=) $4
      AND stream_name OPERATOR(pg_catalog.=) $1
      AND position >= $2$sql$, condition) || $sql$
    ORDER BY position
    LIMIT $3$sql$
    USING stream_name, _position, _limit, _category;
END
$function$;
