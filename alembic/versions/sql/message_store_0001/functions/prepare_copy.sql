-- Must precede an insert with COPY: locks the streams, takes the floor, and draws global positions. The messages of each
-- stream then follow its version without gaps.
CREATE FUNCTION {schema}.prepare_copy(
  stream_names text[],
  number bigint,
  OUT versions bigint[],
  OUT global_positions bigint[]
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $function$
BEGIN
  versions := {schema}.lock_streams(stream_names);
  PERFORM {schema}.take_floor();
  global_positions := ARRAY(
    SELECT nextval({schema_literal.messages_global_position_seq}::regclass)
    FROM generate_series(1, number)
  );
END
$function$;
