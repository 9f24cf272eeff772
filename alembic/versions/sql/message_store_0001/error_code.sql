-- The SQLSTATE that the functions raise for each kind of error. An adopted store already has this
-- function, and it answers P0001 there: clients of the original may tell its errors apart by that.
DO $do$
BEGIN
  IF to_regprocedure({schema_literal} || '.error_code(text)') IS NULL THEN
    CREATE FUNCTION {schema}.error_code(code text)
    RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN code;
  END IF;
END
$do$;
