CREATE OR REPLACE FUNCTION {schema}.erase_stream(
  stream_name text,
  reason text,
  whole boolean DEFAULT false,
  OUT number bigint,
  OUT first_global_position bigint,
  OUT last_global_position bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(
    'deleting, erasing or restoring messages', 'the next message of a category follows its last one, so that one must stay'
  );
END
$function$;
