CREATE OR REPLACE FUNCTION {schema}.read_bound(categories varchar[])
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(
    'reads of several categories in one order', 'each category has positions of its own'
  );
END
$function$;
