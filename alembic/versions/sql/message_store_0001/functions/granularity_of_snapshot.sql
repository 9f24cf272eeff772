-- The granularity that the snapshot of the calling query sees: STABLE, so that it uses that snapshot. lock_granularity()
-- itself may have been replaced since, or be cached from before. It returns a set of one row, because that is inlined.
CREATE FUNCTION {schema}.granularity_of_snapshot()
RETURNS SETOF varchar
LANGUAGE sql STABLE
AS $function$
  SELECT pg_catalog.split_part(prosrc, '''', 2)::varchar
  FROM pg_catalog.pg_proc
  WHERE oid OPERATOR(pg_catalog.=) {schema_literal.lock_granularity()}::pg_catalog.regprocedure
$function$;
