CREATE OR REPLACE FUNCTION {schema}.stream_version(stream_name varchar)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  RETURN (
    SELECT
      coalesce(
        max(messages.position),
        (SELECT version FROM {schema}.stream_heads WHERE stream_heads.stream_name = stream_version.stream_name)
      )
    FROM {schema}.messages
    WHERE messages.stream_name = stream_version.stream_name
  );
END
$function$;
