-- The global position up to which messages of a category were deleted by a retention policy. Some messages up to there may
-- remain. A reader that continues from an earlier position would skip those that were deleted. Unless `keeps_versions`, a
-- stream may have started at any position again.
CREATE TABLE {schema}.deleted_positions (
  category text PRIMARY KEY,
  global_position bigint NOT NULL,
  keeps_versions boolean NOT NULL DEFAULT true
) WITH (fillfactor = 50);
