-- No later read of the category, or of all, stops below the position that this returns, so a reader that has read up to
-- there may continue from there.
--
-- Under `stream`, writers of all categories count: a writer of another category may go on to write to this one, with the
-- floor that it has, and a later read would stop below that. Under `category`, no floor limits reads of one category. The
-- granularity is read after the locks: a writer that starts under another one later takes a floor of its own, which is not
-- below the last position.
CREATE FUNCTION {schema}.settled_position(category varchar DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  _settled bigint;
BEGIN
  IF NOT {schema}.is_category(category) THEN
    RAISE EXCEPTION 'Must be a category: %', category
      USING
        CONSTRAINT = 'not_a_category',
        SCHEMA = {schema_name},
        DETAIL = json_build_object('category', category)::text;
  END IF;

  IF category IS NOT NULL THEN
    _settled := {schema}.read_bound(ARRAY[category]);

    IF {schema}.granularity_of_snapshot() = 'category' THEN
      RETURN _settled;
    END IF;
  END IF;

  RETURN {schema}.read_bound(NULL);
END
$function$;
