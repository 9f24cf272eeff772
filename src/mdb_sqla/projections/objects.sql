-- The indexes and owned sequences of a table, which share the names of the schema with it.
SELECT 'INDEX' AS kind, class.relname::text AS name
FROM pg_catalog.pg_index AS index
JOIN pg_catalog.pg_class AS class ON class.oid = index.indexrelid
WHERE index.indrelid = pg_catalog.to_regclass(:table_name)
UNION ALL
SELECT 'SEQUENCE', class.relname::text
FROM pg_catalog.pg_depend AS depend
JOIN pg_catalog.pg_class AS class ON class.oid = depend.objid AND class.relkind = 'S'
WHERE depend.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND depend.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND depend.refobjid = pg_catalog.to_regclass(:table_name)
  AND depend.deptype IN ('a', 'i')
ORDER BY 1, 2
