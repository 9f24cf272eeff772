-- The retention job looks for the first dead letter of each stream.
CREATE INDEX dead_letters_stream ON {schema}.dead_letters (stream_name, position);
