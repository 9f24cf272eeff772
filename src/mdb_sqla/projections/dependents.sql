-- What refers to a table and would keep referring to it after it is renamed, or would be missing from its successor.
SELECT 'trigger ' || pg_catalog.quote_ident(tgname) AS dependent
FROM pg_catalog.pg_trigger
WHERE tgrelid = pg_catalog.to_regclass(:table_name) AND NOT tgisinternal
UNION ALL
SELECT 'row-level security'
FROM pg_catalog.pg_class
WHERE oid = pg_catalog.to_regclass(:table_name) AND relrowsecurity
UNION ALL
SELECT 'foreign key ' || pg_catalog.quote_ident(conname) || ' of table ' || conrelid::pg_catalog.regclass
FROM pg_catalog.pg_constraint
WHERE confrelid = pg_catalog.to_regclass(:table_name) AND conrelid <> confrelid AND contype = 'f'
UNION ALL
SELECT DISTINCT 'view ' || rewrite.ev_class::pg_catalog.regclass
FROM pg_catalog.pg_depend AS depend
JOIN pg_catalog.pg_rewrite AS rewrite ON rewrite.oid = depend.objid
WHERE depend.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  AND depend.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND depend.refobjid = pg_catalog.to_regclass(:table_name)
UNION ALL
SELECT 'partition or child of table ' || inhparent::pg_catalog.regclass
FROM pg_catalog.pg_inherits
WHERE inhrelid = pg_catalog.to_regclass(:table_name)
UNION ALL
SELECT 'child table ' || inhrelid::pg_catalog.regclass
FROM pg_catalog.pg_inherits
WHERE inhparent = pg_catalog.to_regclass(:table_name)
UNION ALL
SELECT 'publication ' || pg_catalog.quote_ident(pubname)
FROM pg_catalog.pg_publication_rel
JOIN pg_catalog.pg_publication AS publication ON publication.oid = prpubid
WHERE prrelid = pg_catalog.to_regclass(:table_name)
ORDER BY 1
