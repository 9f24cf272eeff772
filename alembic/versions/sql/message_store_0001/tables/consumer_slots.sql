-- The position of each consumer. A group partitions its work into slots, by the cardinal id of the streams; a consumer
-- without a group has one slot. Every message up to and including the position is handled. Taking over a slot increments
-- its token, and an owner with an older token can no longer move the position.
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
