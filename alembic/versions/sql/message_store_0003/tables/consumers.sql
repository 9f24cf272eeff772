-- A consumer that is paused handles no messages until it is resumed, in any process.
ALTER TABLE {schema}.consumers
  ADD COLUMN paused_at timestamptz,
  ADD COLUMN paused_by text,
  ADD CONSTRAINT consumers_paused CHECK ((paused_at IS NULL) = (paused_by IS NULL));
