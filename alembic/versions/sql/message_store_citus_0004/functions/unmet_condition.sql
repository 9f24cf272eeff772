CREATE OR REPLACE FUNCTION {schema}.unmet_condition(
  conditions jsonb,
  stream_names text[],
  OUT after bigint,
  OUT global_position bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(
    'append conditions', 'locks are on the node that has the category, and a query may have several'
  );
END
$function$;
