CREATE OR REPLACE FUNCTION {schema}.acquire_lock(stream_name varchar)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(
    'acquire_lock()', 'locks are on the node that has the category'
  );
END
$function$;
