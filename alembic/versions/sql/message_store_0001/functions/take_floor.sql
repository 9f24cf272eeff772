-- Holds, until the transaction ends, a lock whose key is the floor: every global position that the transaction draws from
-- now on is greater. Once per transaction is enough; a setting records it, which a rollback to a savepoint undoes together
-- with the lock.
CREATE FUNCTION {schema}.take_floor()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  _messages constant oid := {schema_literal.messages}::regclass;
  _setting constant text := 'message_store.floor_' || _messages;
BEGIN
  IF current_setting(_setting, true) IS DISTINCT FROM pg_current_xact_id()::text THEN
    -- The low 32 bits; read_bound() reconstructs the others.
    PERFORM pg_advisory_xact_lock_shared(
      _messages::integer, {schema}.last_global_position()::bit(32)::integer
    );
    PERFORM set_config(_setting, pg_current_xact_id()::text, true);
  END IF;
END
$function$;
