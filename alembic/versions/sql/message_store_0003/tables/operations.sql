-- The log of operations: who has paused, reset or verified what. An operation has one row, however many messages it
-- affects. `performed_by` is whom the caller names; `role` is who was logged in to the database.
CREATE TABLE {schema}.operations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL,
  subject text,
  details jsonb NOT NULL DEFAULT '{}',
  performed_by text NOT NULL DEFAULT session_user,
  role text NOT NULL DEFAULT session_user,
  performed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
