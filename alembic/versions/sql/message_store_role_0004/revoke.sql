REVOKE ALL ON {schema}.consumers FROM message_store;
