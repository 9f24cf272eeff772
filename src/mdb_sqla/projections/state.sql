-- The versions of a projection: those that have a consumer or are maintained inline, and those that have a table of their
-- own, which is being filled or was replaced. The current version has none: its table is the application's.
SELECT
  live.schema,
  version.suffix,
  version.is_registered,
  own.oid IS NOT NULL AS has_table
FROM (
  SELECT class.oid, class.relname, class.relnamespace, namespace.nspname::text AS schema
  FROM pg_catalog.pg_class AS class
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
  WHERE class.oid = pg_catalog.to_regclass(:table_name)
) AS live
CROSS JOIN (
  SELECT pg_catalog.substr(consumer, pg_catalog.length(:prefix) + 1) AS suffix, true AS is_registered
  FROM {schema}.consumers
  WHERE pg_catalog.starts_with(consumer, :prefix)
  UNION ALL
  SELECT :version, false
) AS version
LEFT JOIN pg_catalog.pg_class AS own
  ON own.relnamespace = live.relnamespace
  AND own.relname = live.relname || '_v' || pg_catalog.split_part(version.suffix, ':', 1)
  AND own.relkind = 'r'
  AND pg_catalog.obj_description(own.oid, 'pg_class')
    = :marker || pg_catalog.split_part(version.suffix, ':', 1)
