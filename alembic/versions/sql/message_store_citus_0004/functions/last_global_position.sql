CREATE OR REPLACE FUNCTION {schema}.last_global_position()
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(
    'the last position of all categories', 'each category has positions of its own'
  );
END
$function$;
