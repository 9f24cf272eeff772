-- What each consumer reads, as it told when it last began: no categories stand for all, no types for any. The
-- condition is only to be shown. It is SQL, and whoever asks for the lag may have more rights than who wrote it.
CREATE TABLE {schema}.consumers (
  consumer text PRIMARY KEY,
  categories text[] NOT NULL,
  types text[],
  correlation text,
  condition text,
  start bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
