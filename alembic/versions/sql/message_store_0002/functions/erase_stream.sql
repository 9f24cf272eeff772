-- Erases a stream, and logs it in `deletions`. The data and metadata of its messages are replaced, while their number,
-- order, ids, types and times stay; with `whole`, the messages are deleted, and the stream continues at its next position.
-- Returns the number of messages, 0 if there was nothing left to erase, and the first and last of their global positions.
--
-- The dead letters of the stream lose their error texts, and no longer wait for a replay; with `whole`, they are deleted.
CREATE FUNCTION {schema}.erase_stream(
  stream_name text,
  reason text,
  whole boolean DEFAULT false,
  OUT number bigint,
  OUT first_global_position bigint,
  OUT last_global_position bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
  _global_positions bigint[];
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'A stream must be erased at isolation level read committed (Isolation Level: %)',
      current_setting('transaction_isolation')
      USING ERRCODE = 'invalid_transaction_state';
  END IF;

  -- Writers to the stream are either done, and the statements below see what they wrote, or write after this.
  PERFORM {schema}.lock_streams(ARRAY[erase_stream.stream_name]);
  -- The retention job deletes in another order.
  PERFORM {schema}.lock_deletions();

  IF whole THEN
    -- A consumer that adds a dead letter saves its position afterwards, which it can't once the message is gone. So it is
    -- either done, and the row is deleted below, or its transaction is rolled back.
    LOCK TABLE {schema}.dead_letters IN SHARE ROW EXCLUSIVE MODE;

    SELECT array_agg(m.global_position), count(*), min(m.global_position), max(m.global_position)
    INTO _global_positions, number, first_global_position, last_global_position
    FROM {schema}.messages AS m
    WHERE m.stream_name = erase_stream.stream_name;

    IF number > 0 THEN
      PERFORM {schema}.delete_messages(_global_positions);
    END IF;

    DELETE FROM {schema}.dead_letters AS letter WHERE letter.stream_name = erase_stream.stream_name;
  ELSE
    -- The trigger that protects the messages lets this transaction through.
    PERFORM set_config('mdb_sqla.may_change', pg_current_xact_id()::text, true);

    -- Where there is nothing to erase, a message stays as it is. One that is erased already is among them.
    WITH erased AS (
      UPDATE {schema}.messages AS m
      SET data = '{}', metadata = '{"erased": true}'
      WHERE m.stream_name = erase_stream.stream_name
        AND NOT (
          coalesce(m.data, '{}') = '{}'
          AND coalesce(m.metadata, '{}') IN ('{}', '{"erased": true}')
        )
      RETURNING m.global_position
    )
    SELECT count(*), min(erased.global_position), max(erased.global_position)
    INTO number, first_global_position, last_global_position
    FROM erased;

    PERFORM set_config('mdb_sqla.may_change', '', true);

    UPDATE {schema}.dead_letters AS letter
    SET failed = false, error = NULL, traceback = NULL
    WHERE letter.stream_name = erase_stream.stream_name
      AND (letter.failed OR letter.error IS NOT NULL OR letter.traceback IS NOT NULL);
  END IF;

  IF number > 0 THEN
    INSERT INTO {schema}.deletions (
      kind, category, stream_name, reason, messages, first_global_position, last_global_position
    )
    VALUES (
      CASE WHEN whole THEN 'stream' ELSE 'contents' END,
      {schema}.category(erase_stream.stream_name),
      erase_stream.stream_name,
      erase_stream.reason,
      number,
      first_global_position,
      last_global_position
    );
  END IF;
END
$function$;
