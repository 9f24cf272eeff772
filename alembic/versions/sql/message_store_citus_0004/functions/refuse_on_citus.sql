-- What a store on Citus does not offer, and why.
CREATE FUNCTION {schema}.refuse_on_citus(what text, rule text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  RAISE EXCEPTION 'A store on Citus does not offer %: %', what, rule
    USING
      CONSTRAINT = 'not_offered',
      SCHEMA = {schema_name},
      HINT = 'A store on Citus offers writes, and reads of one stream or one category.';
END
$function$;
