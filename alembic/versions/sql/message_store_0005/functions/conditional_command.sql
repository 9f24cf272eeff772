-- The only place where text from a caller becomes SQL.
--
-- If the setting is `on`, is_on() is not called: any other value may not be a boolean, and handling that error takes a
-- subtransaction.
CREATE OR REPLACE FUNCTION {schema}.conditional_command(command text, condition text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  IF condition IS NULL THEN
    RETURN command;
  END IF;

  IF NOT (
    coalesce(current_setting('message_store.sql_condition', true), '') = 'on'
    OR {schema}.is_on('message_store.sql_condition')
  ) THEN
    RAISE EXCEPTION 'Retrieval with SQL condition is not activated'
      USING
        CONSTRAINT = 'condition_not_activated',
        SCHEMA = {schema_name};
  END IF;

  RETURN command || ' AND (' || condition || ')';
END
$function$;
