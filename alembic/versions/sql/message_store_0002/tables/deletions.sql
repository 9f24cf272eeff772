-- The audit log: what was deleted, when, why, and by whom, and in which archive it is. A run of the retention job has a row
-- for each category and policy, updated by the transaction of each batch.
CREATE TABLE {schema}.deletions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  category text NOT NULL,
  reason text NOT NULL,
  archive text,
  messages bigint NOT NULL,
  first_global_position bigint NOT NULL,
  last_global_position bigint NOT NULL,
  deleted_by text NOT NULL DEFAULT session_user,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
