CREATE OR REPLACE FUNCTION {schema}.write_message(
  id varchar,
  stream_name varchar,
  "type" varchar,
  data jsonb,
  metadata jsonb DEFAULT NULL,
  expected_version bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
BEGIN
  RETURN (
    SELECT written.position
    FROM {schema}.write_messages(
      jsonb_build_array(
        jsonb_build_object('id', write_message.id::uuid, 'stream_name', write_message.stream_name, 'type', write_message.type)
          || CASE WHEN write_message.data IS NULL THEN '{}' ELSE jsonb_build_object('data', write_message.data) END
          || CASE WHEN write_message.metadata IS NULL THEN '{}' ELSE jsonb_build_object('metadata', write_message.metadata) END
      ),
      CASE
        WHEN write_message.expected_version IS NOT NULL
        THEN jsonb_build_object(write_message.stream_name, write_message.expected_version)
      END,
      false
    ) AS written
  );
END
$function$;
