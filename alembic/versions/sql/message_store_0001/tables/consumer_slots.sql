-- How far each consumer is. Its work is parted into slots, by the cardinal id of the streams; a consumer
-- that does not share has one. All up to and including the position is done. Whoever takes a slot over
-- raises the token, and who still has the old one can't move the position any more.
CREATE TABLE {schema}.consumer_slots (
  consumer text NOT NULL,
  slot integer NOT NULL,
  slots integer NOT NULL,
  position bigint NOT NULL,
  token bigint NOT NULL DEFAULT 0,
  owner text,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (consumer, slot),
  CHECK (slot >= 0 AND slot < slots AND position >= 0)
) WITH (fillfactor = 50);
