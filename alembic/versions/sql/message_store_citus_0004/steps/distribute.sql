-- Every node has all functions, and applications may connect to any of them. A call of write_category() runs on the node that
-- has the category, also within a transaction.
DO $do$
DECLARE
  _function regprocedure;
BEGIN
  FOR _function IN
    SELECT oid FROM pg_proc WHERE pronamespace = {schema_literal}::regnamespace AND prokind = 'f' ORDER BY oid
  LOOP
    IF _function <> {schema_literal.write_category(text, jsonb, jsonb, boolean)}::regprocedure THEN
      PERFORM create_distributed_function(_function);
    END IF;
  END LOOP;

  PERFORM create_distributed_function(
    {schema_literal.write_category(text, jsonb, jsonb, boolean)}::regprocedure,
    '$1',
    colocate_with := {schema_literal.messages},
    force_delegation := true
  );
END
$do$;
