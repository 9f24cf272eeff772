-- Messages whose handler failed for good (`failed`), and the later messages of the same streams, which wait until the
-- failed ones are replayed or skipped.
CREATE TABLE {schema}.dead_letters (
  consumer text NOT NULL,
  global_position bigint NOT NULL,
  slot integer NOT NULL,
  stream_name text NOT NULL,
  position bigint NOT NULL,
  type text NOT NULL,
  failed boolean NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  error text,
  traceback text,
  dead_lettered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (consumer, global_position)
);
