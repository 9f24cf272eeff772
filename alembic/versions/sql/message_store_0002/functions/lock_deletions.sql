-- Waits for other transactions that delete, change or restore messages, and makes later ones wait until this one ends. Only
-- one at a time may do so. Writers and readers do not wait.
CREATE FUNCTION {schema}.lock_deletions()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'Messages must be deleted or restored at isolation level read committed (Isolation Level: %)',
      current_setting('transaction_isolation')
      USING ERRCODE = 'invalid_transaction_state';
  END IF;

  PERFORM pg_advisory_xact_lock(
    hashtextextended('mdb_sqla:delete_messages', {schema_literal.messages}::regclass::oid::bigint)
  );
END
$function$;
