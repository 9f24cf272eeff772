-- The last position of a category. Each was committed after the one below it, so no later read stops below it.
CREATE OR REPLACE FUNCTION {schema}.settled_position(category varchar DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
  _category constant text := settled_position.category;
BEGIN
  IF _category IS NULL THEN
    PERFORM {schema}.refuse_on_citus('the settled position of all categories', 'each category has positions of its own');
  ELSIF NOT {schema}.is_category(_category) THEN
    RAISE EXCEPTION 'Must be a category: %', _category
      USING
        CONSTRAINT = 'not_a_category',
        SCHEMA = {schema_name},
        DETAIL = json_build_object('category', _category)::text;
  END IF;

  RETURN (SELECT coalesce(max(m.global_position), 0) FROM {schema}.messages AS m WHERE m.category = _category);
END
$function$;
