-- A table without rows. A transaction that writes to one worker commits there first, and then on the coordinator, whose own
-- rows a crash in between would lose. It commits in two phases if it also changes a table like this one.
DO $do$
BEGIN
  CREATE TABLE {schema}.two_phase_commits (nothing boolean);
  PERFORM citus_add_local_table_to_metadata({schema_literal.two_phase_commits}::regclass);
  GRANT SELECT, UPDATE ON {schema}.two_phase_commits TO PUBLIC;
END
$do$;
