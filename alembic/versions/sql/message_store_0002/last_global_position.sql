-- The last global position that was drawn, by a transaction that has ended or not. Where the sequence
-- was never called, or was restarted, it is the one before the first.
CREATE FUNCTION {schema}.last_global_position()
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $function$
BEGIN
  RETURN (
    SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END
    FROM {schema}.messages_global_position_seq
  );
END
$function$;
