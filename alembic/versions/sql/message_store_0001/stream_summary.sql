CREATE OR REPLACE VIEW {schema}.stream_summary AS
SELECT
  stream_name,
  count(*) AS message_count,
  round(count(*) * 100 / sum(count(*)) OVER (), 2) AS percent
FROM {schema}.messages
GROUP BY 1
ORDER BY 1;
