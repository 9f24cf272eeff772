-- What the functions call for their caller must be open to all, whatever the default privileges are.
DO $do$
BEGIN
  GRANT EXECUTE ON FUNCTION
    {schema}.boolean_setting(text),
    {schema}.conditional_command(text, text),
    {schema}.error_code(text),
    {schema}.is_on(text)
    TO PUBLIC;
  COMMENT ON TABLE {schema}.messages IS 'Messages, managed by mdb_sqla';
END
$do$;
