-- An adopted store keeps its own view: replacing it would wait for readers that wait for the table.
DO $do$
BEGIN
  IF to_regclass({schema_literal} || '.type_category_summary') IS NULL THEN
    CREATE VIEW {schema}.type_category_summary AS
    SELECT
      type,
      {schema}.category(stream_name) AS category,
      count(*) AS message_count,
      round(count(*) * 100 / sum(count(*)) OVER (), 2) AS percent
    FROM {schema}.messages
    GROUP BY 1, 2
    ORDER BY 1, 2;
  END IF;
END
$do$;
