CREATE FUNCTION {schema}.settled_position(category varchar DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $function$
BEGIN
  IF NOT {schema}.is_category(category) THEN
    RAISE EXCEPTION 'Must be a category: %', category
      USING ERRCODE = {schema}.error_code('MS003');
  END IF;

  RETURN {schema}.read_bound(CASE WHEN category IS NOT NULL THEN ARRAY[category] END);
END
$function$;
