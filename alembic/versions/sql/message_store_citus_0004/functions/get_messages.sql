CREATE OR REPLACE FUNCTION {schema}.get_messages(
  categories varchar[] DEFAULT NULL,
  "position" bigint DEFAULT 1,
  batch_size bigint DEFAULT 1000,
  correlation varchar DEFAULT NULL,
  consumer_group_member bigint DEFAULT NULL,
  consumer_group_size bigint DEFAULT NULL,
  condition varchar DEFAULT NULL
)
RETURNS SETOF {schema}.message
LANGUAGE plpgsql VOLATILE
AS $function$
DECLARE
  _names constant varchar[] := ARRAY(SELECT DISTINCT name FROM pg_catalog.unnest(categories) AS name);
BEGIN
  IF categories IS NULL OR pg_catalog.cardinality(_names) > 1 THEN
    PERFORM {schema}.refuse_on_citus(
      'reads of several categories in one order', 'each category has positions of its own, so read one at a time'
    );
  END IF;

  RETURN QUERY
    SELECT message.*
    FROM pg_catalog.unnest(_names) AS category (name)
    CROSS JOIN LATERAL {schema}.get_category_messages(
      category.name, get_messages.position, batch_size, correlation, consumer_group_member, consumer_group_size, condition
    ) AS message;
END
$function$;
