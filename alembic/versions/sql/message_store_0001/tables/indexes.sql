DO $do$
BEGIN
  IF to_regclass({schema_literal} || '.messages_id') IS NULL THEN
    CREATE UNIQUE INDEX messages_id ON {schema}.messages (id);
    CREATE UNIQUE INDEX messages_stream ON {schema}.messages (stream_name, position);
    CREATE INDEX messages_category ON {schema}.messages (
      {schema}.category(stream_name),
      global_position,
      {schema}.category(metadata ->> 'correlationStreamName')
    );
  END IF;
END
$do$;
