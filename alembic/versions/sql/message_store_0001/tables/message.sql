DO $do$
BEGIN
  IF to_regtype({schema_literal} || '.message') IS NULL THEN
    CREATE TYPE {schema}.message AS (
      id varchar,
      stream_name varchar,
      "type" varchar,
      position bigint,
      global_position bigint,
      data varchar,
      metadata varchar,
      "time" timestamp
    );
  END IF;
END
$do$;
