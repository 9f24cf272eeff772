REVOKE ALL ON
  {schema}.consumer_slots, {schema}.consumer_members, {schema}.dead_letters
  FROM message_store;
