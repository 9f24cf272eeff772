REVOKE ALL ON FUNCTION
  {schema}.get_messages(varchar[], bigint, bigint, varchar, bigint, bigint, varchar),
  {schema}.prepare_copy(text[], bigint),
  {schema}.settled_position(varchar),
  {schema}.write_messages(jsonb, jsonb, boolean)
  FROM message_store;
