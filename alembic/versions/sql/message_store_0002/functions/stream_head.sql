-- The position of the last deleted message of a stream; NULL if none was deleted. Only a stream without messages needs it.
-- As a function, it costs a writer nothing until it is called. SECURITY DEFINER, so that writers need no privilege on the
-- table.
CREATE FUNCTION {schema}.stream_head(stream_name text)
RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  RETURN (SELECT head.version FROM {schema}.stream_heads AS head WHERE head.stream_name = stream_head.stream_name);
END
$function$;
