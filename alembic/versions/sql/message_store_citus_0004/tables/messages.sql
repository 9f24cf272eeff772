-- The messages, distributed by category: all messages of a category are on one worker, and every unique key contains the
-- category. The distribution column must be a plain column, and no default may be volatile.
DO $do$
BEGIN
  -- One connection to each worker: the transaction has created the schema and its functions there.
  PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);

  -- Citus would create an owned sequence on the workers, and not drop it again.
  ALTER SEQUENCE {schema}.messages_global_position_seq OWNED BY NONE;
  DROP INDEX {schema}.messages_id, {schema}.messages_stream, {schema}.messages_category, {schema}.messages_tags;
  ALTER TABLE {schema}.messages
    DROP CONSTRAINT messages_pkey,
    ADD COLUMN category text NOT NULL,
    ADD CONSTRAINT messages_category CHECK (category = split_part(stream_name, '-', 1)),
    ALTER COLUMN global_position DROP DEFAULT,
    ALTER COLUMN id DROP DEFAULT,
    ADD CONSTRAINT messages_pkey PRIMARY KEY (category, global_position);
  CREATE UNIQUE INDEX messages_id ON {schema}.messages (category, id);
  CREATE UNIQUE INDEX messages_stream ON {schema}.messages (category, stream_name, position);

  PERFORM create_distributed_table({schema_literal.messages}, 'category', colocate_with := 'none');
END
$do$;
