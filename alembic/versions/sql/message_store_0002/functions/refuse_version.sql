CREATE OR REPLACE FUNCTION {schema}.refuse_version(stream_name varchar, expected_version bigint, version bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $function$
#variable_conflict use_column
BEGIN
  IF refuse_version.stream_name IS NOT NULL
    AND current_setting('transaction_isolation') IN ('repeatable read', 'serializable')
  THEN
    -- The snapshot, and the version with it, may be older than the lock. If so, this insert fails with a
    -- serialization failure; if not, the error below undoes it.
    INSERT INTO {schema}.messages (stream_name, position, type)
    VALUES (refuse_version.stream_name, version + 1, 'Probe')
    ON CONFLICT (stream_name, position) DO NOTHING;
    PERFORM {schema}.check_deletions(ARRAY[refuse_version.stream_name::text]);
  END IF;

  RAISE EXCEPTION 'Wrong expected version: % (Stream: %, Stream Version: %)',
    expected_version, refuse_version.stream_name, version
    USING
      CONSTRAINT = 'wrong_expected_version',
      SCHEMA = {schema_name},
      DETAIL = pg_catalog.json_build_object('stream_name', refuse_version.stream_name, 'expected_version', expected_version, 'stream_version', version)::text;
END
$function$;
