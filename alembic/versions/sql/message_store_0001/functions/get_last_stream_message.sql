CREATE OR REPLACE FUNCTION {schema}.get_last_stream_message(
  stream_name varchar,
  "type" varchar DEFAULT NULL
)
RETURNS SETOF {schema}.message
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $function$
DECLARE
  _command text;
BEGIN
  IF {schema}.is_on('message_store.debug_get') OR {schema}.is_on('message_store.debug') THEN
    _command := $sql$
      SELECT
        id::varchar, stream_name::varchar, type::varchar, position, global_position,
        data::varchar, metadata::varchar, time
      FROM {schema}.messages
      WHERE stream_name = $1 AND ($2 IS NULL OR type = $2)
      ORDER BY position DESC
      LIMIT 1$sql$;

    RAISE NOTICE '% get_last_stream_message', chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 187 ELSE 62 END);
    RAISE NOTICE 'stream_name ($1): %', get_last_stream_message.stream_name;
    RAISE NOTICE 'type ($2): %', get_last_stream_message.type;
    RAISE NOTICE 'Generated Command: %', _command;

    RETURN QUERY EXECUTE _command
      USING get_last_stream_message.stream_name, get_last_stream_message.type;
    RETURN;
  END IF;

  -- Static for the same reason as in get_stream_messages, and in two forms, because a generic plan can't
  -- leave out the comparison of the type.
  IF get_last_stream_message.type IS NULL THEN
    RETURN QUERY
      SELECT
        m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
        m.data::varchar, m.metadata::varchar, m.time
      FROM {schema}.messages AS m
      WHERE m.stream_name = get_last_stream_message.stream_name
      ORDER BY m.position DESC
      LIMIT 1;
  ELSE
    RETURN QUERY
      SELECT
        m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
        m.data::varchar, m.metadata::varchar, m.time
      FROM {schema}.messages AS m
      WHERE m.stream_name = get_last_stream_message.stream_name
        AND m.type = get_last_stream_message.type
      ORDER BY m.position DESC
      LIMIT 1;
  END IF;
END
$function$;
