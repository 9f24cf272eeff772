CREATE OR REPLACE FUNCTION {schema}.boolean_setting(setting text)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  RETURN current_setting(setting)::boolean;
EXCEPTION WHEN invalid_text_representation THEN
  RAISE EXCEPTION 'Setting % must be on or off: %', setting, current_setting(setting)
    USING ERRCODE = 'invalid_parameter_value';
END
$function$;
