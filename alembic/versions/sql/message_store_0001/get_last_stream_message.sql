CREATE OR REPLACE FUNCTION {schema}.get_last_stream_message(
  stream_name varchar,
  "type" varchar DEFAULT NULL
)
RETURNS SETOF {schema}.message
LANGUAGE plpgsql VOLATILE
AS $function$
BEGIN
  IF 'on' IN (current_setting('message_store.debug_get', true), current_setting('message_store.debug', true)) THEN
    RAISE NOTICE '» get_last_stream_message';
    RAISE NOTICE 'stream_name ($1): %', get_last_stream_message.stream_name;
    RAISE NOTICE 'type ($2): %', get_last_stream_message.type;
  END IF;

  RETURN QUERY
    SELECT
      m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
      m.data::varchar, m.metadata::varchar, m.time
    FROM {schema}.messages AS m
    WHERE m.stream_name = get_last_stream_message.stream_name
      AND (get_last_stream_message.type IS NULL OR m.type = get_last_stream_message.type)
    ORDER BY m.position DESC
    LIMIT 1;
END
$function$;
