-- COPY is not offered: the locks are on the node that has the category. NULL makes a writer call write_messages() instead.
CREATE OR REPLACE FUNCTION {schema}.prepare_copy(
  stream_names text[],
  number bigint,
  OUT versions bigint[],
  OUT global_positions bigint[]
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  NULL;
END
$function$;
