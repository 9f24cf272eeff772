DROP TABLE {schema}.consumer_slots, {schema}.consumer_members, {schema}.dead_letters;
