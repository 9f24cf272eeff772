-- The function of the optional trigger `messages_protected`, which guards against accidental changes: it refuses UPDATE,
-- DELETE and TRUNCATE of messages, except for the store's own functions. It is no defence against an owner with intent, who
-- can drop it, or set what they set.
CREATE FUNCTION {schema}.refuse_change()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  IF current_setting('mdb_sqla.may_change', true) = pg_current_xact_id_if_assigned()::text THEN
    RETURN NULL;
  END IF;

  RAISE EXCEPTION '% of messages is refused: they are protected', TG_OP
    USING
      CONSTRAINT = 'messages_protected',
      SCHEMA = {schema_name},
      HINT = 'To change them nevertheless, turn the protection off: mdb protect off';
END
$function$;
