DO $do$
BEGIN
  RAISE EXCEPTION 'A store on Citus can''t be downgraded (Schema: %)', {schema_literal}
    USING
      CONSTRAINT = 'not_offered',
      SCHEMA = {schema_name},
      HINT = format('To delete it with its messages, run: DROP SCHEMA %s CASCADE.', {schema_literal});
END
$do$;
