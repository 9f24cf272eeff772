GRANT SELECT, INSERT, UPDATE, DELETE ON
  {schema}.consumer_slots, {schema}.consumer_members, {schema}.dead_letters
  TO message_store;
