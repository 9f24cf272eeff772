-- The granularity that the snapshot of the calling query sees: STABLE, so that it looks with the same
-- snapshot. lock_granularity() may have been replaced since, or be remembered from before.
CREATE FUNCTION {schema}.granularity_of_snapshot()
RETURNS varchar
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  RETURN (
    SELECT split_part(prosrc, '''', 2)
    FROM pg_catalog.pg_proc
    WHERE oid = {schema_literal.lock_granularity()}::regprocedure
  );
END
$function$;
