-- Returns the global position up to which everything is settled in these categories, or in all for NULL: every message
-- drawn up to there is committed and visible to the caller's next statement, or never will be.
--
-- A writer locks its category and takes its floor before it draws a position, and holds both until its transaction ends; a
-- commit becomes visible before its locks are released. So the order of the steps matters: first the last position, then
-- the locks of the categories, and then, if somebody holds one, the floors. Every position up to the last one is settled if
-- nobody holds a lock of its category, and otherwise if it is not above a floor.
--
-- A standby knows no writers. There, a reader that has asked the primary server for the bound, and has waited until the
-- standby has replayed everything up to it, sets it for the transaction: `message_store.read_up_to_<oid of messages>`.
CREATE OR REPLACE FUNCTION {schema}.read_bound(categories varchar[])
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  _messages constant oid := {schema_literal.messages}::regclass;
  _isolation constant text := current_setting('transaction_isolation');
  _setting constant text := 'message_store.settled_' || _messages;
  _last bigint;
  _bound bigint;
  _category varchar;
  _key bigint;
  _has_writers boolean := false;
BEGIN
  IF pg_is_in_recovery() THEN
    _bound := nullif(current_setting('message_store.read_up_to_' || _messages, true), '');

    IF _bound IS NOT NULL AND _isolation = 'read committed' THEN
      RETURN _bound;
    END IF;

    RAISE EXCEPTION 'Must be read on the primary server, which knows its writers (Lock Granularity: %)',
      {schema}.lock_granularity()
      USING
        CONSTRAINT = 'read_not_exact',
        SCHEMA = {schema_name},
        HINT = 'Read on the primary server. A standby can be read one category at a time where writers lock categories: mdb lock-granularity category.';
  ELSIF _isolation IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'Must be read at isolation level read committed, with a snapshot newer than its writers (Isolation Level: %, Lock Granularity: %)',
      _isolation, {schema}.lock_granularity()
      USING
        CONSTRAINT = 'read_not_exact',
        SCHEMA = {schema_name},
        HINT = 'Read on another connection, at READ COMMITTED. One category can be read at any level where writers lock categories: mdb lock-granularity category.';
  END IF;

  _last := {schema}.last_global_position();

  _bound := _last;

  -- With a floor and the lock, if only for an instant, this transaction would look like a writer of the category.
  IF categories IS NULL
    OR current_setting('message_store.floor_' || _messages, true) = pg_current_xact_id_if_assigned()::text
  THEN
    -- Usually nobody else holds a floor, and this is all that a session has to plan.
    _has_writers := EXISTS (
      SELECT FROM pg_locks
      WHERE locktype = 'advisory' AND objsubid = 2 AND classid = _messages AND pid IS DISTINCT FROM pg_backend_pid()
    );
  ELSE
    -- An exclusive lock is granted only if no other transaction, open or prepared, has locked the category. It is released
    -- in the same expression, which nothing interrupts, so writers rarely wait for it. pg_locks takes eight times as long.
    -- The categories may be locked one by one: a transaction that locks one afterwards draws positions above the last one.
    FOREACH _category IN ARRAY categories LOOP
      _key := {schema}.hash_64(_category);
      _has_writers := NOT (pg_try_advisory_lock(_key) AND pg_advisory_unlock(_key));
      EXIT WHEN _has_writers;
    END LOOP;
  END IF;

  IF _has_writers THEN
    -- MATERIALIZED, to read all locks at one moment. PREPARE TRANSACTION transfers locks one by one, so
    -- that a floor may appear to have another holder than the lock of its category.
    _bound := (
      WITH advisory_lock AS MATERIALIZED (
        SELECT classid::bigint, objid::bigint, objsubid, virtualtransaction, pid
        FROM pg_locks
        WHERE locktype = 'advisory'
          AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND pid IS DISTINCT FROM pg_backend_pid()
      ), category_lock AS (
        SELECT virtualtransaction, pid
        FROM advisory_lock
        WHERE objsubid = 1 AND (classid << 32) | objid = ANY (ARRAY(SELECT {schema}.hash_64(name) FROM unnest(categories) AS name))
      )
      -- A floor has the low 32 bits of a position, and is less than 2^31 away from the last one.
      SELECT least(_last, min(_last - (_last - objid)::bit(32)::integer))
      FROM advisory_lock AS floor
      WHERE objsubid = 2
        AND classid = _messages::bigint
        AND (
          categories IS NULL
          OR pid IS NULL
          OR EXISTS (
            SELECT
            FROM category_lock
            WHERE category_lock.pid IS NULL OR category_lock.virtualtransaction = floor.virtualtransaction
          )
        )
    );
  END IF;

  -- What this transaction found settled stays settled, and a reader that continues from there must have
  -- read up to there. A floor may still be below it, if its writer looked up the last position before
  -- and took the floor after.
  _bound := greatest(_bound, nullif(current_setting(_setting, true), '')::bigint);

  IF categories IS NULL THEN
    PERFORM set_config(_setting, _bound::text, true);
  END IF;

  RETURN _bound;
END
$function$;
