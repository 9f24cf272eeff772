-- What a writer locks: `category` or `stream`. A constant, so that it costs nothing where it is inlined.
-- Its text is read by granularity_of_snapshot(). An adopted store has it already.
DO $do$
BEGIN
  IF to_regprocedure({schema_literal.lock_granularity()}) IS NULL THEN
    CREATE FUNCTION {schema}.lock_granularity()
    RETURNS varchar
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT ''stream''';
  END IF;
END
$do$;
