-- Functions that other functions call on behalf of the caller.
DO $do$
BEGIN
  GRANT EXECUTE ON FUNCTION
    {schema}.lock_shard(text),
    {schema}.refuse_on_citus(text, text),
    {schema}.write_category(text, jsonb, jsonb, boolean)
    TO PUBLIC;
END
$do$;
