-- The position of the last deleted message of each stream of which messages were deleted. A stream without messages
-- continues after it, so that no position is assigned twice.
CREATE TABLE {schema}.stream_heads (
  stream_name text PRIMARY KEY,
  version bigint NOT NULL CHECK (version >= 0)
) WITH (fillfactor = 70);
