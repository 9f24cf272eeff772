-- The last global position that was drawn, whether or not its transaction has ended. If the sequence was never called, or
-- was restarted, it is the position before the first.
--
-- It is not read from the sequence's row: while nextval() writes its log record, the row shows a number up to 32 ahead, and
-- while the sequence is altered, there may be no row. pg_sequence_last_value() reads under nextval()'s own lock, and keeps
-- the sequence from being altered until the transaction ends.
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
    -- If it still has not been called, that is the first one.
    _last := coalesce(pg_sequence_last_value(_sequence), _first - 1);
  END IF;

  RETURN _last;
END
$function$;
