CREATE OR REPLACE FUNCTION {schema}.lock_streams(stream_names text[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(
    'lock_streams()', 'locks are on the node that has the category'
  );
END
$function$;
