-- The granularity that the snapshot of the calling query sees: STABLE, so that it looks with the same
-- snapshot. lock_granularity() may have been replaced since, or be remembered from before. A set of one
-- row, for that is inlined into the query.
CREATE FUNCTION {schema}.granularity_of_snapshot()
RETURNS SETOF varchar
LANGUAGE sql STABLE
AS $function$
  SELECT pg_catalog.split_part(prosrc, '''', 2)::varchar
  FROM pg_catalog.pg_proc
  WHERE oid OPERATOR(pg_catalog.=) {schema_literal.lock_granularity()}::pg_catalog.regprocedure
$function$;
