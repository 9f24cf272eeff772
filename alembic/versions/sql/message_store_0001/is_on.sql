-- Whether a setting is what PostgreSQL reads as true. NULL and the empty string, which a setting is
-- after SET LOCAL has ended, are not.
CREATE OR REPLACE FUNCTION {schema}.is_on(setting text)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  RETURN coalesce(nullif(current_setting(setting, true), '')::boolean, false);
EXCEPTION WHEN invalid_text_representation THEN
  RAISE EXCEPTION 'Setting % must be on or off: %', setting, current_setting(setting)
    USING ERRCODE = 'invalid_parameter_value';
END
$function$;
