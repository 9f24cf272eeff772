-- The writers of all categories count, whichever is asked for: one of another category may go on to this
-- one, and its floor with it, which is lower than what was settled here by then. A read would stop below
-- that, and who goes on from what was settled would skip the rest. So a read that comes after this never
-- stops below it.
CREATE FUNCTION {schema}.settled_position(category varchar DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $function$
BEGIN
  IF NOT {schema}.is_category(category) THEN
    RAISE EXCEPTION 'Must be a category: %', category
      USING ERRCODE = {schema}.error_code('MS003');
  END IF;

  RETURN {schema}.read_bound(NULL);
END
$function$;
