-- The items of a query. NULL stands for all types, and for any tags.
CREATE FUNCTION {schema}.query_items(query jsonb)
RETURNS TABLE (categories text[], types text[], tags jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    ARRAY(SELECT jsonb_array_elements_text(item.value -> 'categories')),
    CASE
      WHEN item.value -> 'types' <> ALL (ARRAY['[]', 'null']::jsonb[])
      THEN ARRAY(SELECT jsonb_array_elements_text(item.value -> 'types'))
    END,
    CASE WHEN item.value -> 'tags' <> ALL (ARRAY['[]', 'null']::jsonb[]) THEN item.value -> 'tags' END
  FROM jsonb_array_elements($1) AS item (value);
END;
