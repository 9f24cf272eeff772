GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.consumers TO message_store;
