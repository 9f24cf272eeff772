-- Messages that a consumer could not handle, and the later ones of the same streams, which wait for them.
CREATE TABLE {schema}.dead_letters (
  consumer text NOT NULL,
  global_position bigint NOT NULL,
  slot integer NOT NULL,
  stream_name text NOT NULL,
  state text NOT NULL CHECK (state IN ('failed', 'waiting', 'replay')),
  tries integer NOT NULL,
  error text,
  traceback text,
  set_aside timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (consumer, global_position)
);
