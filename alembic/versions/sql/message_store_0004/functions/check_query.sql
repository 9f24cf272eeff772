-- Refuses a query that is not [{"categories": [...], "types": [...], "tags": [...]}, ...]. Categories are mandatory: they
-- are what a writer with a condition locks.
CREATE FUNCTION {schema}.check_query(query jsonb)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  _item jsonb;
  _stream_name text;
BEGIN
  IF jsonb_typeof(query) IS DISTINCT FROM 'array' OR query = '[]' THEN
    RAISE EXCEPTION 'A query must be a list of items: %', coalesce(query::text, '<NULL>')
      USING ERRCODE = 'invalid_parameter_value';
  END IF;

  _item := jsonb_path_query_first(
    query,
    $path$
      strict $[*] ? (
        @.type() != "object"
        || !exists (@.keyvalue() ? (@.key == "categories" && @.value.type() == "array" && @.value.size() > 0))
        || exists (
          @.keyvalue() ? (
            @.key != "categories" && @.key != "types" && @.key != "tags"
            || @.value.type() != "array" && @.value.type() != "null"
            || @.value.type() == "array" && exists (@.value[*] ? (@.type() != "string" || @ == ""))
          )
        )
      )
    $path$
  );

  IF _item IS NOT NULL THEN
    RAISE EXCEPTION 'An item of a query must have a list of categories, and may have lists of types and tags: %', _item
      USING ERRCODE = 'invalid_parameter_value';
  END IF;

  SELECT name
  INTO _stream_name
  FROM jsonb_array_elements(query) AS item
  CROSS JOIN jsonb_array_elements_text(item -> 'categories') AS name
  WHERE NOT {schema}.is_category(name)
  LIMIT 1;

  IF FOUND THEN
    RAISE EXCEPTION 'Must be a category: %', _stream_name
      USING
        CONSTRAINT = 'not_a_category',
        SCHEMA = {schema_name},
        DETAIL = json_build_object('category', _stream_name)::text;
  END IF;
END
$function$;
