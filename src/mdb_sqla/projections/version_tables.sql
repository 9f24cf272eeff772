-- The tables of versions that are not current, by their comments.
SELECT
  namespace.nspname::text AS schema,
  class.relname::text AS name,
  pg_catalog.obj_description(class.oid, 'pg_class') AS comment
FROM pg_catalog.pg_description AS description
JOIN pg_catalog.pg_class AS class ON class.oid = description.objoid AND class.relkind = 'r'
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE description.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND description.objsubid = 0
  AND pg_catalog.starts_with(description.description, :marker)
ORDER BY 1, 2
