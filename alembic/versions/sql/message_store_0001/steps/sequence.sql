-- Every position is greater than all that were drawn before it: no session may cache positions, and none may be drawn
-- twice.
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
