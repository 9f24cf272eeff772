-- Consumers and retention have state in these tables before they do anything.
DO $do$
DECLARE
  _table text;
BEGIN
  FOREACH _table IN ARRAY ARRAY['consumer_members', 'consumer_slots', 'consumers'] LOOP
    EXECUTE format(
      'CREATE TRIGGER refuse_rows BEFORE INSERT ON {schema}.%I FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_rows(%L, %L)',
      _table, 'consumers', 'they look messages up by positions, which each category has of its own'
    );
  END LOOP;

  CREATE TRIGGER refuse_rows BEFORE INSERT ON {schema}.retention_policies
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_rows(
    'retention', 'the next message of a category follows its last one, so that one must stay'
  );
END
$do$;
