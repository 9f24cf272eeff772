-- The members of consumer groups; `instance` tells a member from an older process of the same name. A member that does
-- not renew `alive_until` is considered dead, and its slots go to the others. No member is considered alive for longer
-- than its `lease` from now, whatever its row says: the server's clock may have been set back.
CREATE TABLE {schema}.consumer_members (
  consumer text NOT NULL,
  member text NOT NULL,
  instance uuid NOT NULL,
  lease interval NOT NULL,
  alive_until timestamptz NOT NULL,
  PRIMARY KEY (consumer, member)
) WITH (fillfactor = 50);
