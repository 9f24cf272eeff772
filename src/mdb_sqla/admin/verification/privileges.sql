-- The privileges of roles on the objects in a schema, explicit and effective. The roles are those that the revisions
-- create, PUBLIC, and all other roles with a grant. The owner of the messages is the owner of the store.
WITH object AS (
  SELECT
    CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
    pg_class.oid,
    relname::text AS name,
    NULL AS column_name,
    relowner AS owner,
    coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) AS acl
  FROM pg_class
  JOIN pg_namespace ON pg_namespace.oid = relnamespace
  WHERE nspname = :schema AND relkind IN ('r', 'v', 'S')
  UNION ALL
  SELECT 'COLUMN', pg_class.oid, relname || '.' || attname, attname, relowner, attacl
  FROM pg_class
  JOIN pg_namespace ON pg_namespace.oid = relnamespace
  JOIN pg_attribute ON attrelid = pg_class.oid
  WHERE nspname = :schema AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT
    'FUNCTION',
    pg_proc.oid,
    format('%s(%s)', proname, pg_get_function_identity_arguments(pg_proc.oid)),
    NULL,
    proowner,
    coalesce(proacl, acldefault('f', proowner))
  FROM pg_proc
  JOIN pg_namespace ON pg_namespace.oid = pronamespace
  WHERE nspname = :schema AND prokind IN ('f', 'p')
  UNION ALL
  SELECT 'SCHEMA', oid, '', NULL, nspowner, coalesce(nspacl, acldefault('n', nspowner))
  FROM pg_namespace
  WHERE nspname = :schema
), grantee AS (
  SELECT 0::oid AS oid, 'PUBLIC' AS name
  UNION ALL
  SELECT oid, quote_ident(rolname)
  FROM pg_roles
  WHERE rolname LIKE 'message\_store%'
    OR oid IN (SELECT entry.grantee FROM object CROSS JOIN aclexplode(acl) AS entry)
), privilege (kind, name) AS (
  VALUES
    ('TABLE', 'SELECT'), ('TABLE', 'INSERT'), ('TABLE', 'UPDATE'), ('TABLE', 'DELETE'), ('TABLE', 'TRUNCATE'),
    ('TABLE', 'TRIGGER'),
    ('COLUMN', 'SELECT'), ('COLUMN', 'INSERT'), ('COLUMN', 'UPDATE'),
    ('SEQUENCE', 'USAGE'), ('SEQUENCE', 'SELECT'), ('SEQUENCE', 'UPDATE'),
    ('FUNCTION', 'EXECUTE'), ('SCHEMA', 'USAGE'), ('SCHEMA', 'CREATE')
), granted AS (
  SELECT
    object.kind,
    object.oid,
    object.name,
    object.column_name,
    grantee.oid AS grantee_oid,
    grantee.name AS grantee,
    privilege.name AS privilege,
    grantee.oid <> ALL (
      SELECT owner
      UNION ALL
      SELECT messages.owner FROM object AS messages WHERE kind = 'TABLE' AND name = 'messages'
    ) AND EXISTS (
      SELECT
      FROM aclexplode(acl) AS entry
      WHERE entry.grantee = grantee.oid AND entry.privilege_type = privilege.name
    ) AS is_explicit
  FROM object
  CROSS JOIN grantee
  JOIN privilege USING (kind)
)
SELECT
  kind,
  name,
  grantee,
  privilege,
  is_explicit,
  CASE
    WHEN grantee_oid = 0 THEN is_explicit
    WHEN kind = 'TABLE' THEN has_table_privilege(grantee_oid, oid, privilege)
    WHEN kind = 'COLUMN' THEN has_column_privilege(grantee_oid, oid, column_name, privilege)
    WHEN kind = 'SEQUENCE' THEN has_sequence_privilege(grantee_oid, oid, privilege)
    WHEN kind = 'FUNCTION' THEN has_function_privilege(grantee_oid, oid, privilege)
    ELSE has_schema_privilege(grantee_oid, oid, privilege)
  END AS is_effective
FROM granted
