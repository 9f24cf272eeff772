CREATE OR REPLACE FUNCTION {schema}.get_query_messages(
  query jsonb,
  "position" bigint DEFAULT 1,
  batch_size bigint DEFAULT 1000,
  up_to bigint DEFAULT NULL
)
RETURNS SETOF {schema}.message
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(
    'reads by query', 'each category has positions of its own'
  );
END
$function$;
