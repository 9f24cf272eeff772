-- Who shares the work of a consumer; `instance` tells a member from an older process of its name. A member
-- that does not move `alive_until` on is taken for dead, and its slots go to the others. None is alive for
-- longer than its `lease` from now on, whatever its row says: the clock may have gone back.
CREATE TABLE {schema}.consumer_members (
  consumer text NOT NULL,
  member text NOT NULL,
  instance uuid NOT NULL,
  lease interval NOT NULL,
  alive_until timestamptz NOT NULL,
  PRIMARY KEY (consumer, member)
) WITH (fillfactor = 50);
