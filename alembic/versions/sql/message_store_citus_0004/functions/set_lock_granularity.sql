CREATE OR REPLACE FUNCTION {schema}.set_lock_granularity(granularity varchar)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(
    'another lock granularity', 'a writer locks its category, on one node'
  );
END
$function$;
