-- Whether the snapshot of the calling query sees the granularity `category`: STABLE, so that it uses that snapshot. It does
-- not depend on rows, so a query evaluates it once. It keeps its plan, where granularity_of_snapshot(), which is inlined,
-- would be planned with every dynamic query, and takes longer to plan than the rest of it.
CREATE FUNCTION {schema}.locks_categories()
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  RETURN (SELECT granularity = 'category' FROM {schema}.granularity_of_snapshot() AS granularity);
END
$function$;
