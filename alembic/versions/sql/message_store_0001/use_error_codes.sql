CREATE OR REPLACE FUNCTION {schema}.use_error_codes(enabled boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  IF enabled THEN
    CREATE OR REPLACE FUNCTION {schema}.error_code(code text)
    RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN code;
  ELSE
    CREATE OR REPLACE FUNCTION {schema}.error_code(code text)
    RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 'P0001';
  END IF;
END
$function$;
