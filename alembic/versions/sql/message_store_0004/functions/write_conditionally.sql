-- Writes messages like write_messages(), if all conditions are met: [{"query": [{"categories": [...], "types": [...], "tags":
-- [...]}, ...], "after": global position}, ...]. No message may match the query after the position. The conditions are
-- checked before anything is written, and their categories stay locked until the transaction ends. If all messages are
-- stored already, and the write is `idempotent`, they are ignored.
CREATE FUNCTION {schema}.write_conditionally(
  messages jsonb,
  conditions jsonb,
  expected_versions jsonb DEFAULT NULL,
  idempotent boolean DEFAULT true
)
RETURNS TABLE ("position" bigint, global_position bigint)
LANGUAGE plpgsql VOLATILE
AS $function$
#variable_conflict use_column
BEGIN
  PERFORM {schema}.check_conditions(conditions, messages, expected_versions, idempotent);

  RETURN QUERY
    SELECT written.position, written.global_position
    FROM {schema}.write_messages(messages, expected_versions, idempotent) AS written;
END
$function$;
