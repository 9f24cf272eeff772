-- A position is above every one drawn before: no session may keep some in store, and none comes again.
DO $do$
BEGIN
  IF EXISTS (
    SELECT
    FROM pg_sequence
    WHERE seqrelid = {schema_literal.messages_global_position_seq}::regclass
      AND (seqcache, seqincrement, seqcycle) <> (1, 1, false)
  ) THEN
    ALTER SEQUENCE {schema}.messages_global_position_seq INCREMENT 1 CACHE 1 NO CYCLE;
  END IF;
END
$do$;
