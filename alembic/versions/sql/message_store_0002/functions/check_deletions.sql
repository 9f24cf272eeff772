-- Fails with a serialization failure if messages of these streams were deleted after the snapshot of the transaction was
-- taken. Nothing happens at READ COMMITTED.
--
-- An old snapshot assigns the position after the last message that it sees. If that position was taken since, the insert
-- conflicts with the message there. If the message was deleted again, only the head of its stream shows it. So a writer calls
-- this after its insert: a message that is deleted after this was there at the insert.
--
-- The probe fails at a head that is newer than the snapshot. Otherwise it is undone.
CREATE FUNCTION {schema}.check_deletions(stream_names text[])
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  -- The file has a size as soon as a head is written, committed or not, whatever the snapshot.
  IF current_setting('transaction_isolation') NOT IN ('repeatable read', 'serializable')
    OR pg_relation_size({schema_literal.stream_heads}::regclass) = 0
  THEN
    RETURN;
  END IF;

  BEGIN
    INSERT INTO {schema}.stream_heads (stream_name, version)
    SELECT DISTINCT name, 0 FROM unnest(stream_names) AS name WHERE name IS NOT NULL ORDER BY name
    ON CONFLICT DO NOTHING;

    RAISE EXCEPTION USING ERRCODE = 'MS000';
  EXCEPTION WHEN SQLSTATE 'MS000' THEN
    NULL;
  END;
END
$function$;
