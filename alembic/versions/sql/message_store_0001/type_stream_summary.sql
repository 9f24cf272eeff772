CREATE OR REPLACE VIEW {schema}.type_stream_summary AS
SELECT
  type,
  stream_name,
  count(*) AS message_count,
  round(count(*) * 100 / sum(count(*)) OVER (), 2) AS percent
FROM {schema}.messages
GROUP BY 1, 2
ORDER BY 1, 2;
