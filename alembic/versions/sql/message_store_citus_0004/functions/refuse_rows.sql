-- Refuses rows of what a store on Citus does not offer, with the words that the trigger passes to refuse_on_citus().
CREATE FUNCTION {schema}.refuse_rows()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(TG_ARGV[0], TG_ARGV[1]);
  RETURN NULL;
END
$function$;
