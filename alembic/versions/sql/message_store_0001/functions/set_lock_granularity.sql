CREATE FUNCTION {schema}.set_lock_granularity(granularity varchar)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  IF granularity IS NULL OR granularity NOT IN ('category', 'stream') THEN
    RAISE EXCEPTION 'Lock granularity must be category or stream: %', granularity
      USING ERRCODE = 'invalid_parameter_value';
  END IF;

  -- An older snapshot does not see what the barrier waits for.
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'Lock granularity must be set at isolation level read committed (Isolation Level: %)',
      current_setting('transaction_isolation')
      USING ERRCODE = 'invalid_transaction_state';
  END IF;

  -- The barrier: it waits for every transaction that has touched the sequence, which each writer does
  -- before it reads the granularity, and blocks all others until this transaction ends.
  ALTER SEQUENCE {schema}.messages_global_position_seq NO CYCLE;

  IF granularity = 'stream' THEN
    CREATE OR REPLACE FUNCTION {schema}.lock_granularity()
    RETURNS varchar
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT ''stream''';
  ELSE
    CREATE OR REPLACE FUNCTION {schema}.lock_granularity()
    RETURNS varchar
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT ''category''';
  END IF;
END
$function$;
