-- The keys with which an application encrypts the personal data of its subjects, wrapped with a key of the application. A
-- key that is forgotten leaves its row behind, so that nobody creates another one.
CREATE TABLE {schema}.subject_keys (
  subject text PRIMARY KEY,
  key bytea,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  forgotten_at timestamptz,
  CHECK ((key IS NULL) = (forgotten_at IS NOT NULL))
);
