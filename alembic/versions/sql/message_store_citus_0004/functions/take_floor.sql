CREATE OR REPLACE FUNCTION {schema}.take_floor()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(
    'take_floor()', 'locks are on the node that has the category'
  );
END
$function$;
