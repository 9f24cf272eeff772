CREATE OR REPLACE FUNCTION {schema}.stream_version(stream_name varchar)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  _category constant text := {schema}.category(stream_name);
BEGIN
  RETURN (
    SELECT max(m.position)
    FROM {schema}.messages AS m
    WHERE m.category = _category AND m.stream_name = stream_version.stream_name
  );
END
$function$;
