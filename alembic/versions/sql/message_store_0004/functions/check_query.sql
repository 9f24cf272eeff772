-- Refuses a query that is not [{"categories": [...], "types": [...], "tags": [...]}, ...]. Categories are mandatory: they
-- are what a writer with a condition locks.
CREATE FUNCTION {schema}.check_query(query jsonb)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  _item jsonb;
  _stream_name text;
BEGIN
  IF jsonb_typeof(query) IS DISTINCT FROM 'array' OR query = '[]' THEN
    RAISE EXCEPTION 'A query must be a list of items: %', coalesce(query::text, '<NULL>')
      USING ERRCODE = 'invalid_parameter_value';
  END IF;

  FOR _item IN SELECT value FROM jsonb_array_elements(query) LOOP
    IF jsonb_typeof(_item) <> 'object'
      OR coalesce(_item -> 'categories', 'null') IN ('null', '[]')
      OR EXISTS (
        SELECT
        FROM jsonb_each(CASE jsonb_typeof(_item) WHEN 'object' THEN _item ELSE '{}' END)
        WHERE key NOT IN ('categories', 'types', 'tags')
          OR jsonb_typeof(value) NOT IN ('array', 'null')
          OR EXISTS (
            SELECT
            FROM jsonb_array_elements(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE '[]' END) AS name
            WHERE jsonb_typeof(name) <> 'string' OR name = '""'
          )
      )
    THEN
      RAISE EXCEPTION 'An item of a query must have a list of categories, and may have lists of types and tags: %', _item
        USING ERRCODE = 'invalid_parameter_value';
    END IF;

    SELECT name
    INTO _stream_name
    FROM jsonb_array_elements_text(_item -> 'categories') AS name
    WHERE NOT {schema}.is_category(name)
    LIMIT 1;

    IF FOUND THEN
      RAISE EXCEPTION 'Must be a category: %', _stream_name
        USING
          CONSTRAINT = 'not_a_category',
          SCHEMA = {schema_name},
          DETAIL = json_build_object('category', _stream_name)::text;
    END IF;
  END LOOP;
END
$function$;
