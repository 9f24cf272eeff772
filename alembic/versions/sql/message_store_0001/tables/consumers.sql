-- What each consumer reads, as of its last start: no categories means all, no types means any. The condition is for
-- display only. It is SQL, and whoever computes the lag may have more privileges than its author.
CREATE TABLE {schema}.consumers (
  consumer text PRIMARY KEY,
  categories text[] NOT NULL,
  types text[],
  correlation text,
  condition text,
  start bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
