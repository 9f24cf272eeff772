CREATE OR REPLACE FUNCTION {schema}.lock_deletions()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(
    'deleting, erasing or restoring messages', 'the next message of a category follows its last one, so that one must stay'
  );
END
$function$;
