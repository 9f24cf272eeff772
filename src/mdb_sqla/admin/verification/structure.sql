-- The parts of a store in a schema, one row each. Names in `definition` are qualified with the schema as PostgreSQL
-- writes it or, in the source of a function, as the revisions write it.
WITH relation AS (
  SELECT pg_class.oid, relname, relkind, relpersistence, reltype
  FROM pg_class
  JOIN pg_namespace ON pg_namespace.oid = relnamespace
  WHERE nspname = :schema
)
SELECT
  CASE relkind WHEN 'v' THEN 'view' WHEN 'c' THEN 'type' ELSE 'table' END AS kind,
  relname::text AS name,
  CASE relkind WHEN 'v' THEN 'view' WHEN 'c' THEN 'type'
    WHEN 'r' THEN CASE relpersistence WHEN 'u' THEN 'unlogged ' ELSE '' END || 'table' ELSE relkind::text END
    AS definition,
  false AS is_source
FROM relation
WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'c')

UNION ALL

SELECT
  'column',
  relname || '.' || attname,
  concat_ws(
    ' ',
    format_type(atttypid, atttypmod),
    CASE WHEN attnotnull THEN 'NOT NULL' END,
    CASE WHEN attidentity <> '' THEN 'IDENTITY' END,
    'DEFAULT ' || pg_get_expr(adbin, adrelid)
  ),
  false
FROM relation
JOIN pg_attribute ON attrelid = relation.oid
LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
WHERE relkind IN ('r', 'v', 'c') AND attnum > 0 AND NOT attisdropped

UNION ALL

SELECT 'constraint', relname || '.' || conname, pg_get_constraintdef(pg_constraint.oid), false
FROM relation
JOIN pg_constraint ON conrelid = relation.oid
WHERE contype IN ('p', 'u', 'c', 'f', 'x')

UNION ALL

SELECT
  'index',
  relname::text,
  pg_get_indexdef(indexrelid) || CASE WHEN indisvalid AND indisready AND indislive THEN '' ELSE ' (invalid)' END,
  false
FROM relation
JOIN pg_index ON indexrelid = relation.oid

UNION ALL

SELECT
  'sequence',
  relname::text,
  format(
    '%s INCREMENT %s MINVALUE %s MAXVALUE %s CACHE %s%s%s',
    seqtypid::regtype, seqincrement, seqmin, seqmax, seqcache,
    CASE WHEN seqcycle THEN ' CYCLE' END,
    (
      SELECT format(' OWNED BY %s (%s)', owner.relname, attname)
      FROM pg_depend
      JOIN relation AS owner ON owner.oid = refobjid
      JOIN pg_attribute ON (attrelid, attnum) = (refobjid, refobjsubid)
      WHERE classid = 'pg_class'::regclass AND objid = relation.oid AND deptype IN ('a', 'i')
    )
  ),
  false
FROM relation
JOIN pg_sequence ON seqrelid = relation.oid

UNION ALL

SELECT
  'function',
  format('%s(%s)', proname, pg_get_function_identity_arguments(pg_proc.oid)),
  format(
    '(%s) RETURNS %s LANGUAGE %s%s%s%s %s',
    pg_get_function_arguments(pg_proc.oid), pg_get_function_result(pg_proc.oid), lanname,
    CASE provolatile WHEN 'i' THEN ' IMMUTABLE' WHEN 's' THEN ' STABLE' END,
    CASE WHEN proisstrict THEN ' STRICT' END,
    CASE WHEN prosecdef THEN ' SECURITY DEFINER' END,
    -- The names in a setting are quoted as they were when the function was created.
    (SELECT string_agg('SET ' || replace(setting, '"', ''), ' ' ORDER BY setting) FROM unnest(proconfig) AS setting)
  ),
  false
FROM pg_proc
JOIN pg_namespace ON pg_namespace.oid = pronamespace
JOIN pg_language ON pg_language.oid = prolang
WHERE nspname = :schema AND prokind IN ('f', 'p')

UNION ALL

SELECT
  'function body',
  format('%s(%s)', proname, pg_get_function_identity_arguments(pg_proc.oid)),
  coalesce(pg_get_function_sqlbody(pg_proc.oid), prosrc),
  pg_get_function_sqlbody(pg_proc.oid) IS NULL
FROM pg_proc
JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE nspname = :schema AND prokind IN ('f', 'p')
