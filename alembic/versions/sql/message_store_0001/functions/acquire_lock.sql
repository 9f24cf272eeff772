CREATE OR REPLACE FUNCTION {schema}.acquire_lock(stream_name varchar)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  _key bigint := {schema}.hash_64({schema}.category(stream_name));
BEGIN
  PERFORM pg_advisory_xact_lock(_key);
  -- A caller of this function may go on to insert without the others.
  PERFORM {schema}.take_floor();

  IF {schema}.is_on('message_store.debug_write') OR {schema}.is_on('message_store.debug') THEN
    RAISE NOTICE '% acquire_lock', chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 187 ELSE 62 END);
    RAISE NOTICE 'stream_name: %', stream_name;
    RAISE NOTICE 'category: %', {schema}.category(stream_name);
    RAISE NOTICE 'key: %', _key;
  END IF;

  RETURN _key;
END
$function$;
