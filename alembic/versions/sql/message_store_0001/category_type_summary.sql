CREATE OR REPLACE VIEW {schema}.category_type_summary AS
SELECT
  {schema}.category(stream_name) AS category,
  type,
  count(*) AS message_count,
  round(count(*) * 100 / sum(count(*)) OVER (), 2) AS percent
FROM {schema}.messages
GROUP BY 1, 2
ORDER BY 1, 2;
