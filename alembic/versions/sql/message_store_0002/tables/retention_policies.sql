-- Which messages of a category are kept. A message is deleted when no rule keeps it, and after every registered consumer
-- that reads the category has handled it.
CREATE TABLE {schema}.retention_policies (
  category text PRIMARY KEY,
  keep_age interval CHECK (keep_age >= '0'),
  keep_last bigint CHECK (keep_last >= 1),
  keep_versions boolean NOT NULL DEFAULT true,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
