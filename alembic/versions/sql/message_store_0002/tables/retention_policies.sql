-- Which messages of a category are kept. A message is deleted when no rule keeps it, and after every registered consumer
-- that reads the category has handled it, and is in the archive if there is one.
CREATE TABLE {schema}.retention_policies (
  category text PRIMARY KEY,
  keep_age interval CHECK (keep_age >= '0'),
  keep_last bigint CHECK (keep_last >= 1),
  keep_versions boolean NOT NULL DEFAULT true,
  archive text,
  archive_format text NOT NULL DEFAULT 'jsonl' CHECK (archive_format IN ('jsonl', 'parquet')),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
