-- Writes the messages of a document as in a store on one server, category by category, in the order of their locks.
-- Whether all messages are stored already is decided for each category.
--
-- Citus delegates a call only if it is in FROM and its plan knows the argument.
CREATE OR REPLACE FUNCTION {schema}.write_messages(
  messages jsonb,
  expected_versions jsonb DEFAULT NULL,
  idempotent boolean DEFAULT true
)
RETURNS TABLE ("position" bigint, global_position bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
  _isolation constant text := current_setting('transaction_isolation');
  _category text;
  _numbers bigint[];
  _document jsonb;
  _expected jsonb;
  _positions bigint[] := '{}';
  _global_positions bigint[] := '{}';
  _found record;
BEGIN
  IF _isolation <> 'read committed' THEN
    PERFORM {schema}.refuse_on_citus(
      'writes at isolation level ' || _isolation,
      'each node has a snapshot of its own, so write at read committed'
    );
  END IF;

  -- Together with the coordinator's own tables.
  IF (SELECT groupid FROM pg_dist_local_group) = 0 THEN
    UPDATE {schema}.two_phase_commits SET nothing = nothing WHERE nothing;
  END IF;

  FOR _category, _numbers, _document, _expected IN
    SELECT
      category.name,
      array_agg(entry.number ORDER BY entry.number) FILTER (WHERE entry.value IS NOT NULL),
      coalesce(jsonb_agg(entry.value ORDER BY entry.number) FILTER (WHERE entry.value IS NOT NULL), '[]'),
      (
        SELECT jsonb_object_agg(expected.key, expected.value)
        FROM jsonb_each(expected_versions) AS expected
        WHERE {schema}.category(expected.key) = category.name
      )
    FROM (
      SELECT {schema}.category(value ->> 'stream_name')::text FROM jsonb_array_elements(messages)
      UNION
      SELECT {schema}.category(key)::text FROM jsonb_object_keys(expected_versions) AS key
    ) AS category (name)
    LEFT JOIN jsonb_array_elements(messages) WITH ORDINALITY AS entry (value, number)
      ON {schema}.category(entry.value ->> 'stream_name') IS NOT DISTINCT FROM category.name
    GROUP BY category.name
    ORDER BY {schema}.hash_64(category.name)
  LOOP
    IF _category IS NULL THEN
      RAISE not_null_violation
        USING MESSAGE = 'null value in column "stream_name" of relation "messages" violates not-null constraint';
    END IF;

    FOR _found IN
      SELECT written.number, written.position, written.global_position, written.problem
      FROM {schema}.write_category(_category, _document, _expected, idempotent) AS written
    LOOP
      CASE _found.problem ->> 'kind'
        WHEN 'wrong_expected_version' THEN
          PERFORM {schema}.refuse_version(
            _found.problem ->> 'stream_name',
            (expected_versions ->> (_found.problem ->> 'stream_name'))::bigint,
            (_found.problem ->> 'version')::bigint
          );
        WHEN 'duplicate_message_id' THEN
          IF idempotent THEN
            RAISE EXCEPTION 'Message id is taken by a message with other content: % (Stream: %)',
              _found.problem ->> 'id', _found.problem ->> 'stream_name'
              USING
                CONSTRAINT = 'duplicate_message_id',
                SCHEMA = {schema_name},
                DETAIL = (_found.problem - 'kind')::text;
          END IF;

          RAISE unique_violation
            USING
              MESSAGE = 'duplicate key value violates unique constraint "messages_id"',
              DETAIL = format('Key (id)=(%s) already exists.', _found.problem ->> 'id'),
              CONSTRAINT = 'messages_id',
              SCHEMA = {schema_name},
              TABLE = 'messages';
        ELSE
          _positions[_numbers[_found.number]] := _found.position;
          _global_positions[_numbers[_found.number]] := _found.global_position;
      END CASE;
    END LOOP;
  END LOOP;

  RETURN QUERY SELECT * FROM unnest(_positions, _global_positions);
END
$function$;
