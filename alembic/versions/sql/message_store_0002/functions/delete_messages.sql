-- Deletes messages, all or none, and records what writers and verification need: the head of each stream, from which it
-- continues. Without `keep_versions`, a stream without messages is forgotten, and starts at position 0 again. Returns the
-- number of deleted messages.
--
-- The messages of a stream are deleted in their order: none may remain before a deleted one. One transaction at a time
-- deletes: two that each see the other's message would both leave a stream without a head.
CREATE FUNCTION {schema}.delete_messages(global_positions bigint[], keep_versions boolean DEFAULT true)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $function$
DECLARE
  _streams text[];
  _versions bigint[];
  _number bigint;
  _stream_name text;
BEGIN
  PERFORM {schema}.lock_deletions();
  -- The trigger that protects the messages lets this transaction through.
  PERFORM set_config('mdb_sqla.may_change', pg_current_xact_id()::text, true);

  WITH deleted AS (
    DELETE FROM {schema}.messages AS m
    WHERE m.global_position = ANY (delete_messages.global_positions)
    RETURNING m.stream_name, m.position
  ), stream AS (
    SELECT deleted.stream_name, max(deleted.position) AS version, count(*) AS number
    FROM deleted
    GROUP BY deleted.stream_name
  )
  SELECT array_agg(stream.stream_name), array_agg(stream.version), coalesce(sum(stream.number), 0)
  INTO _streams, _versions, _number
  FROM stream;

  PERFORM set_config('mdb_sqla.may_change', '', true);

  SELECT stream.name
  INTO _stream_name
  FROM unnest(_streams, _versions) AS stream (name, version)
  WHERE EXISTS (
    SELECT FROM {schema}.messages AS m WHERE m.stream_name = stream.name AND m.position < stream.version
  )
  LIMIT 1;

  IF FOUND THEN
    RAISE EXCEPTION 'Messages of a stream must be deleted from its beginning (Stream: %)', _stream_name
      USING ERRCODE = 'invalid_parameter_value';
  END IF;

  INSERT INTO {schema}.stream_heads AS head (stream_name, version)
  SELECT stream.name, stream.version
  FROM unnest(_streams, _versions) AS stream (name, version)
  WHERE delete_messages.keep_versions
    OR EXISTS (SELECT FROM {schema}.messages AS m WHERE m.stream_name = stream.name)
  ORDER BY stream.name
  ON CONFLICT ON CONSTRAINT stream_heads_pkey DO UPDATE SET version = greatest(head.version, excluded.version);

  IF NOT delete_messages.keep_versions THEN
    DELETE FROM {schema}.stream_heads AS head
    WHERE head.stream_name = ANY (_streams)
      AND NOT EXISTS (SELECT FROM {schema}.messages AS m WHERE m.stream_name = head.stream_name);
  END IF;

  RETURN _number;
END
$function$;
