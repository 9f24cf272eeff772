-- The last global position that was drawn, by a transaction that has ended or not. Where the sequence
-- was never called, or was restarted, it is the one before the first.
--
-- Not read from the sequence's row: while nextval() logs, that shows a number up to 32 ahead, and while
-- the sequence is being altered, there may be no row. This function reads under nextval()'s own lock,
-- and keeps the sequence as it is until the transaction ends.
CREATE FUNCTION {schema}.last_global_position()
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  _sequence constant regclass := {schema_literal.messages_global_position_seq}::regclass;
  _last bigint := pg_sequence_last_value(_sequence);
  _first bigint;
BEGIN
  IF _last IS NULL THEN
    SELECT last_value INTO _first FROM {schema}.messages_global_position_seq;
    -- If it still was not called, that was the first.
    _last := coalesce(pg_sequence_last_value(_sequence), _first - 1);
  END IF;

  RETURN _last;
END
$function$;
