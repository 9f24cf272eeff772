CREATE TABLE IF NOT EXISTS {schema}.messages (
  global_position bigserial PRIMARY KEY,
  position bigint NOT NULL,
  "time" timestamp without time zone NOT NULL DEFAULT (now() AT TIME ZONE 'utc'),
  stream_name text NOT NULL,
  "type" text NOT NULL,
  data jsonb,
  metadata jsonb,
  id uuid NOT NULL DEFAULT gen_random_uuid()
);
