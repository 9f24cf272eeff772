-- Sets what writers of a new store lock, if the upgrade was told. An adopted store stays with `category`: writers that
-- entered its functions before the adoption hold the lock of their category and no other.
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
    RAISE EXCEPTION 'Schema % has a store of Message DB, which has to keep locking categories while it is adopted', {schema_literal}
      USING
        CONSTRAINT = 'unrecognized_store',
        SCHEMA = {schema_name},
        HINT = 'Adopt it without a lock granularity. When the transactions that were open during the adoption have ended, run: mdb lock-granularity stream';
  END IF;
END
$do$;
