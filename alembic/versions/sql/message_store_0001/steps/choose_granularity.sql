-- What writers lock in a new store, if it was said. An adopted one has `category` here: writers who entered
-- its functions before the adoption hold the lock of their category and no other.
DO $do$
DECLARE
  _asked_for text := {lock_granularity};
BEGIN
  IF _asked_for = {schema}.lock_granularity() THEN
    NULL;
  ELSIF _asked_for = 'category' THEN
    CREATE OR REPLACE FUNCTION {schema}.lock_granularity()
    RETURNS varchar
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT ''category''';
  ELSIF _asked_for = 'stream' THEN
    RAISE EXCEPTION 'Schema % has a store of Message DB, which locks categories while it is adopted', {schema_literal}
      USING
        CONSTRAINT = 'unrecognized_store',
        SCHEMA = {schema_name},
        HINT = 'Adopt it without a lock granularity. Once the transactions of before have ended: mdb lock-granularity stream';
  END IF;
END
$do$;
