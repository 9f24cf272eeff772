-- Refuses a downgrade that would delete messages, what consumers or retention have stored, the keys of subjects, or the log
-- of operations, or that would resume paused consumers, without permission. It runs before the first step, while the tables
-- of later steps still exist; tables of other steps may be gone.
DO $do$
DECLARE
  _kind text;
  _name text;
  _what text;
  _condition text;
  _table regclass;
  _number bigint;
  _there text[] := '{}';
  _kinds text[] := '{}';
  _consumers text[] := '{}';
BEGIN
  -- In the order in which consumers lock them.
  FOR _kind, _name, _what, _condition IN
    VALUES
      ('consumers', 'consumer_slots', 'positions', 'true'),
      ('consumers', 'consumer_members', 'members', 'true'),
      ('consumers', 'dead_letters', 'dead letters', 'true'),
      ('consumers', 'consumers', 'registered consumers', 'true'),
      -- Without the name of the column, which earlier versions don't have.
      ('operations', 'consumers', 'pauses of consumers', $sql$to_jsonb(entry) ->> 'paused_at' IS NOT NULL$sql$),
      ('messages', 'messages', 'messages', 'true'),
      ('retention', 'stream_heads', 'positions of deleted messages', 'true'),
      ('retention', 'retention_policies', 'retention policies', 'true'),
      ('retention', 'deletions', 'log entries of deletions', 'true'),
      ('keys', 'subject_keys', 'keys of subjects', 'true'),
      ('operations', 'operations', 'log entries of operations', 'true')
  LOOP
    _table := to_regclass({schema_literal} || '.' || _name);
    CONTINUE WHEN _table IS NULL OR _kind <> ALL ({kinds});

    -- Nothing is added between this and the end of the transaction.
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', _table);
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %s AS entry WHERE %s LIMIT 100001) AS found', _table, _condition)
      INTO _number;
    CONTINUE WHEN _number = 0;

    _there := _there || format('%s (%s)', _what, CASE WHEN _number > 100000 THEN 'more than 100000' ELSE _number::text END);
    _kinds := array_append(array_remove(_kinds, _kind), _kind);

    IF _kind = 'consumers' THEN
      EXECUTE format('SELECT $1 || array_agg(DISTINCT consumer) FROM %s', _table) INTO _consumers USING _consumers;
    END IF;
  END LOOP;

  IF _there <> '{}' THEN
    RAISE EXCEPTION 'The downgrade would delete in schema %: %',
      {schema_literal},
      array_to_string(_there, ', ')
        || coalesce('; consumers: ' || (SELECT string_agg(DISTINCT name, ', ') FROM unnest(_consumers) AS name), '')
      USING
        CONSTRAINT = 'data_exists',
        SCHEMA = {schema_name},
        HINT = (
          SELECT format(
            'To delete them: alembic %s downgrade ..., mdb downgrade %s, or migrations.downgrade(..., %s)',
            string_agg(format('-x delete_%s=yes', kind), ' '),
            string_agg(format('--delete-%s', kind), ' '),
            string_agg(format('delete_%s=True', kind), ', ')
          )
          FROM unnest(_kinds) AS kind
        );
  END IF;
END
$do$;
