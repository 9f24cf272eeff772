-- Returns the numbers of those messages of a document whose id is stored already, or occurs earlier in the document.
-- Refused if anything but time and positions differs.
CREATE FUNCTION {schema}.find_repeats(messages jsonb)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
  _repeats bigint[];
  _id uuid;
  _stream_name text;
BEGIN
  WITH entry AS MATERIALIZED (
    SELECT * FROM {schema}.message_entries(find_repeats.messages)
  ), known AS (
    SELECT 0 AS number, id, stream_name, type, data, metadata
    FROM {schema}.messages
    WHERE id IN (SELECT id FROM entry)
    UNION ALL
    SELECT * FROM entry
  ), repeat AS (
    SELECT
      entry.number, entry.id, known.stream_name,
      (known.stream_name, known.type, known.data, known.metadata)
        IS DISTINCT FROM (entry.stream_name, entry.type, entry.data, entry.metadata) AS differs
    FROM entry
    JOIN known ON known.id = entry.id AND known.number < entry.number
  )
  SELECT
    array_agg(DISTINCT number),
    (array_agg(id ORDER BY number) FILTER (WHERE differs))[1],
    (array_agg(stream_name ORDER BY number) FILTER (WHERE differs))[1]
  INTO _repeats, _id, _stream_name
  FROM repeat;

  IF _id IS NOT NULL THEN
    RAISE EXCEPTION 'Message id is taken by a message with other content: % (Stream: %)', _id, _stream_name
      USING
        CONSTRAINT = 'duplicate_message_id',
        SCHEMA = {schema_name},
        DETAIL = json_build_object('id', _id, 'stream_name', _stream_name)::text;
  END IF;

  RETURN coalesce(_repeats, '{}');
END
$function$;
