-- Adopts a store that Message DB 1.2 or 1.3 installed, ignores a schema without a store, and refuses everything else
-- before anything is changed.
DO $do$
DECLARE
  _messages regclass := to_regclass({schema_literal} || '.messages');
  _schema regnamespace := to_regnamespace({schema_literal});
  _old_last regprocedure := to_regprocedure({schema_literal} || '.get_last_stream_message(varchar)');
  _version text;
  _problems text;
  _grantee text;
  _quoting constant text := current_setting('quote_all_identifiers');
BEGIN
  -- Text in it may be in any encoding, and JSON can hold no characters beyond ASCII.
  IF getdatabaseencoding() = 'SQL_ASCII' THEN
    RAISE EXCEPTION 'Schema % can have no message store: the encoding of the database is SQL_ASCII', {schema_literal}
      USING CONSTRAINT = 'unrecognized_store', SCHEMA = {schema_name}, HINT = 'Create a database for it: CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0';
  END IF;

  PERFORM pg_advisory_xact_lock(hashtextextended('mdb_sqla:' || {schema_literal}, 0));

  IF _messages IS NULL THEN
    SELECT string_agg(DISTINCT name, ', ')
    INTO _problems
    FROM (
      SELECT proname::text FROM pg_proc WHERE pronamespace = _schema
      UNION ALL
      SELECT relname::text FROM pg_class WHERE relnamespace = _schema
    ) AS existing (name)
    WHERE name IN (
      'acquire_lock', 'cardinal_id', 'category', 'get_category_messages', 'get_last_stream_message',
      'get_stream_messages', 'hash_64', 'id', 'is_category', 'message_store_version',
      'stream_version', 'write_message', 'message', 'messages_global_position_seq',
      'stream_summary', 'type_summary', 'stream_type_summary', 'type_stream_summary',
      'category_type_summary', 'type_category_summary'
    );

    IF _problems IS NOT NULL THEN
      RAISE EXCEPTION 'Schema % is no message store: it has no table messages, but it has %', {schema_literal}, _problems
        USING CONSTRAINT = 'unrecognized_store', SCHEMA = {schema_name}, HINT = 'Choose another schema for the message store.';
    END IF;

    RETURN;
  END IF;

  IF obj_description(_messages, 'pg_class') LIKE 'Messages, managed by mdb_sqla%' THEN
    RAISE EXCEPTION 'The message store in schema % is managed by mdb_sqla already, from another migration history, or was restored without the rows of the version table', {schema_literal}
      USING CONSTRAINT = 'unrecognized_store', SCHEMA = {schema_name}, HINT = 'To manage it from a branch of your history, run: alembic stamp message_store@head; from a revision of yours, call migrations.upgrade(...) in it; after a restore of the schema alone, run: alembic stamp heads';
  END IF;

  -- The definitions below are compared as PostgreSQL prints them.
  PERFORM set_config('quote_all_identifiers', 'off', true);

  SELECT string_agg(problem, '; ')
  INTO _problems
  FROM (
    -- Columns: name, type, and whether it is NOT NULL.
    SELECT format(
      'column %s is %s, not %s', coalesce(expected.name, actual.name),
      coalesce(actual.definition, 'missing'), coalesce(expected.definition, 'expected')
    )
    FROM (
      VALUES
        ('global_position', 'bigint NOT NULL'),
        ('position', 'bigint NOT NULL'),
        ('time', 'timestamp without time zone NOT NULL'),
        ('stream_name', 'text NOT NULL'),
        ('type', 'text NOT NULL'),
        ('data', 'jsonb'),
        ('metadata', 'jsonb'),
        ('id', 'uuid NOT NULL')
    ) AS expected (name, definition)
    FULL JOIN (
      SELECT
        attname::text,
        format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
      FROM pg_attribute
      WHERE attrelid = _messages AND attnum > 0 AND NOT attisdropped
    ) AS actual (name, definition) USING (name)
    WHERE expected.definition IS DISTINCT FROM actual.definition

    UNION ALL

    -- The attributes of the type that every read returns.
    SELECT format('type message is (%s)', coalesce(actual.definition, 'missing'))
    FROM (
      SELECT (
        SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
        FROM pg_attribute
        WHERE attrelid = to_regclass({schema_literal} || '.message') AND attnum > 0
      )
    ) AS actual (definition)
    WHERE actual.definition IS DISTINCT FROM
      'id character varying, stream_name character varying, type character varying, '
      'position bigint, global_position bigint, data character varying, '
      'metadata character varying, time timestamp without time zone'

    UNION ALL

    -- Indexes: uniqueness and columns; further indexes are ignored.
    SELECT format('index %s is %s, not %s', expected.name, coalesce(actual.definition, 'missing'), expected.definition)
    FROM (
      VALUES
        ('messages_pkey', 'unique (global_position)'),
        ('messages_id', 'unique (id)'),
        ('messages_stream', 'unique (stream_name, "position")'),
        (
          'messages_category',
          '(category(stream_name::character varying), global_position, '
          'category((metadata ->> ''correlationStreamName''::text)::character varying))'
        )
    ) AS expected (name, definition)
    LEFT JOIN (
      SELECT
        relname::text,
        CASE WHEN indisvalid THEN '' ELSE 'invalid ' END || CASE WHEN indisunique THEN 'unique ' ELSE '' END
          || '(' || (
            SELECT string_agg(
              replace(pg_get_indexdef(indexrelid, column_number, true), _schema || '.category', 'category'),
              ', ' ORDER BY column_number
            )
            FROM generate_series(1, indnatts) AS column_number
          ) || ')'
      FROM pg_index
      JOIN pg_class ON pg_class.oid = indexrelid
      WHERE indrelid = _messages AND indpred IS NULL
    ) AS actual (name, definition) USING (name)
    WHERE expected.definition IS DISTINCT FROM actual.definition

    UNION ALL

    SELECT 'column global_position does not draw from the sequence messages_global_position_seq, or does not own it'
    WHERE NOT EXISTS (
        SELECT
        FROM pg_depend
        JOIN pg_attrdef ON pg_depend.classid = 'pg_attrdef'::regclass AND pg_depend.objid = pg_attrdef.oid
        JOIN pg_attribute ON (attrelid, attnum) = (adrelid, adnum)
        WHERE adrelid = _messages
          AND attname = 'global_position'
          AND refobjid = to_regclass({schema_literal} || '.messages_global_position_seq')
      )
      OR to_regclass(pg_get_serial_sequence({schema_literal} || '.messages', 'global_position'))
        IS DISTINCT FROM to_regclass({schema_literal} || '.messages_global_position_seq')

    UNION ALL

    -- Functions: kind, names and types of the parameters, and the result.
    SELECT format('function %s is %s, not %s', signature, coalesce(actual.definition, 'missing'), expected.definition)
    FROM (
      VALUES
        ('acquire_lock(varchar)', 'f(stream_name character varying) bigint'),
        ('cardinal_id(varchar)', 'f(stream_name character varying) character varying'),
        ('category(varchar)', 'f(stream_name character varying) character varying'),
        (
          'get_category_messages(varchar, bigint, bigint, varchar, bigint, bigint, varchar)',
          'f(category character varying, "position" bigint, batch_size bigint, correlation character varying, '
          'consumer_group_member bigint, consumer_group_size bigint, condition character varying) SETOF message'
        ),
        (
          CASE WHEN _old_last IS NULL THEN 'get_last_stream_message(varchar, varchar)' ELSE 'get_last_stream_message(varchar)' END,
          CASE
            WHEN _old_last IS NULL THEN 'f(stream_name character varying, type character varying) SETOF message'
            ELSE 'f(stream_name character varying) SETOF message'
          END
        ),
        (
          'get_stream_messages(varchar, bigint, bigint, varchar)',
          'f(stream_name character varying, "position" bigint, batch_size bigint, condition character varying) '
          'SETOF message'
        ),
        ('hash_64(varchar)', 'f(value character varying) bigint'),
        ('id(varchar)', 'f(stream_name character varying) character varying'),
        ('is_category(varchar)', 'f(stream_name character varying) boolean'),
        ('message_store_version()', 'f() character varying'),
        ('stream_version(varchar)', 'f(stream_name character varying) bigint'),
        (
          'write_message(varchar, varchar, varchar, jsonb, jsonb, bigint)',
          'f(id character varying, stream_name character varying, type character varying, data jsonb, '
          'metadata jsonb, expected_version bigint) bigint'
        )
    ) AS expected (signature, definition)
    LEFT JOIN LATERAL (
      SELECT format(
        '%s(%s) %s', prokind, pg_get_function_identity_arguments(oid),
        replace(pg_get_function_result(oid), _schema || '.', '')
      )
      FROM pg_proc
      WHERE oid = to_regprocedure({schema_literal} || '.' || expected.signature)
    ) AS actual (definition) ON true
    WHERE actual.definition IS DISTINCT FROM expected.definition

    UNION ALL

    -- Report views, if present: kind and columns.
    SELECT format('view %s is %s, not %s', expected.name, actual.definition, expected.definition)
    FROM (
      VALUES
        ('stream_summary', 'v(stream_name text, message_count bigint, percent numeric)'),
        ('type_summary', 'v(type text, message_count bigint, percent numeric)'),
        ('stream_type_summary', 'v(stream_name text, type text, message_count bigint, percent numeric)'),
        ('type_stream_summary', 'v(type text, stream_name text, message_count bigint, percent numeric)'),
        ('category_type_summary', 'v(category character varying, type text, message_count bigint, percent numeric)'),
        ('type_category_summary', 'v(type text, category character varying, message_count bigint, percent numeric)')
    ) AS expected (name, definition)
    JOIN (
      SELECT
        relname::text,
        relkind::text || '(' || string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) || ')'
      FROM pg_class
      JOIN pg_attribute ON attrelid = pg_class.oid
      WHERE relnamespace = _schema AND attnum > 0 AND NOT attisdropped
      GROUP BY relname, relkind
    ) AS actual (name, definition) USING (name)
    WHERE actual.definition <> expected.definition
  ) AS found (problem);

  PERFORM set_config('quote_all_identifiers', _quoting, true);

  IF _problems IS NULL THEN
    EXECUTE $sql$SELECT {schema}.message_store_version()$sql$ INTO _version;

    IF _version IS NULL OR _version !~ '^1[.](2[.][0-9]+|3[.]0)$' THEN
      _problems := format('its version is %s, not 1.2 or 1.3.0', coalesce(_version, 'NULL'));
    END IF;
  END IF;

  IF _problems IS NOT NULL THEN
    RAISE EXCEPTION 'Schema % has a table messages that is not the one of Message DB 1.2 or 1.3: %', {schema_literal}, _problems
      USING CONSTRAINT = 'unrecognized_store', SCHEMA = {schema_name}, HINT = 'Nothing was changed. Choose another schema, or bring the store to Message DB 1.3.0 first.';
  END IF;

  -- Version 1.2 has one parameter less; two overloads would make every call ambiguous. The
  -- privileges on the old function are granted on the new one.
  IF _old_last IS NOT NULL THEN
    CREATE OR REPLACE FUNCTION {schema}.get_last_stream_message(stream_name varchar, "type" varchar DEFAULT NULL)
    RETURNS SETOF {schema}.message
    LANGUAGE plpgsql
    AS 'BEGIN END';

    IF (SELECT proacl IS NOT NULL FROM pg_proc WHERE oid = _old_last) THEN
      REVOKE ALL ON FUNCTION {schema}.get_last_stream_message(varchar, varchar) FROM PUBLIC;

      FOR _grantee IN
        SELECT
          CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
            || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        FROM pg_proc, aclexplode(proacl)
        WHERE oid = _old_last
      LOOP
        EXECUTE $sql$GRANT EXECUTE ON FUNCTION {schema}.get_last_stream_message(varchar, varchar) TO $sql$ || _grantee;
      END LOOP;
    END IF;

    DROP FUNCTION {schema}.get_last_stream_message(varchar);
  END IF;

  -- The default may be a function of the extension pgcrypto, which nothing else here needs.
  -- PostgreSQL's own function leaves no dependency.
  IF EXISTS (
    SELECT
    FROM pg_depend
    JOIN pg_attrdef ON pg_depend.classid = 'pg_attrdef'::regclass AND pg_depend.objid = pg_attrdef.oid
    JOIN pg_attribute ON (attrelid, attnum) = (adrelid, adnum)
    WHERE adrelid = _messages AND attname = 'id' AND refclassid = 'pg_proc'::regclass
  ) THEN
    ALTER TABLE {schema}.messages ALTER COLUMN id SET DEFAULT pg_catalog.gen_random_uuid();
  END IF;

  -- category() becomes a function that is inlined, in queries and in the expression of this index.
  -- Open sessions cache that expression until something about the index changes: hence this change
  -- to the value that it has already.
  EXECUTE format(
    $sql$ALTER INDEX {schema}.messages_category ALTER COLUMN 1 SET STATISTICS %s$sql$,
    (
      SELECT coalesce(attstattarget, -1)
      FROM pg_attribute
      WHERE attrelid = to_regclass({schema_literal} || '.messages_category') AND attnum = 1
    )
  );

  -- An adopted store locks categories until it is switched: see functions/lock_granularity.sql.
  CREATE FUNCTION {schema}.lock_granularity()
  RETURNS varchar
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS 'SELECT ''category''';
END
$do$;
