-- An adopted store keeps its own view: replacing it would wait for readers that wait for the table.
DO $do$
BEGIN
  IF to_regclass({schema_literal} || '.stream_summary') IS NULL THEN
    CREATE VIEW {schema}.stream_summary AS
    SELECT
      stream_name,
      count(*) AS message_count,
      round(count(*) * 100 / sum(count(*)) OVER (), 2) AS percent
    FROM {schema}.messages
    GROUP BY 1
    ORDER BY 1;
  END IF;
END
$do$;
