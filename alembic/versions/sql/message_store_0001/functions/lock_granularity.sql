-- What a writer locks: `category` or `stream`. A constant function, which costs nothing once it is inlined.
-- granularity_of_snapshot() reads its source. An adopted store has it already.
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
