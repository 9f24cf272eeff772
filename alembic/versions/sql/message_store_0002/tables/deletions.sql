-- The audit log: what was deleted, when, why, and by whom, and in which archive it is. A run of the retention job has a row
-- for each category and policy, updated by the transaction of each batch. An erasure has a row for the contents of a stream,
-- a whole stream, or the key of a subject; how many messages a key was for is unknown.
CREATE TABLE {schema}.deletions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL DEFAULT 'retention' CHECK (kind IN ('retention', 'contents', 'stream', 'key')),
  category text,
  stream_name text,
  subject text,
  reason text NOT NULL,
  archive text,
  messages bigint,
  first_global_position bigint,
  last_global_position bigint,
  deleted_by text NOT NULL DEFAULT session_user,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (
    CASE kind
      WHEN 'key' THEN subject IS NOT NULL
      ELSE num_nulls(category, messages, first_global_position, last_global_position) = 0
    END
  )
) WITH (fillfactor = 50);
