-- The messages of a document, numbered from 1. Missing fields are NULL; a JSON null stays JSON null.
CREATE FUNCTION {schema}.message_entries(messages jsonb)
RETURNS TABLE (number bigint, id uuid, stream_name text, "type" text, data jsonb, metadata jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    entry.number,
    (entry.value ->> 'id')::uuid,
    entry.value ->> 'stream_name',
    entry.value ->> 'type',
    entry.value -> 'data',
    entry.value -> 'metadata'
  FROM jsonb_array_elements($1) WITH ORDINALITY AS entry (value, number);
END;
