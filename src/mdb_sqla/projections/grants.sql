-- The privileges that roles have been granted on a table and its columns, as parts of GRANT statements.
SELECT
  privilege.privilege_type || coalesce(' (' || pg_catalog.quote_ident(privilege.attname) || ')', '') AS privilege,
  CASE privilege.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(role.rolname) END AS grantee,
  privilege.is_grantable
FROM (
  SELECT NULL::name AS attname, acl.*
  FROM pg_catalog.pg_class AS class
  CROSS JOIN pg_catalog.aclexplode(class.relacl) AS acl
  WHERE class.oid = pg_catalog.to_regclass(:table_name) AND acl.grantee <> class.relowner
  UNION ALL
  SELECT attribute.attname, acl.*
  FROM pg_catalog.pg_attribute AS attribute
  JOIN pg_catalog.pg_attribute AS successor
    ON successor.attrelid = pg_catalog.to_regclass(:successor_name)
    AND successor.attname = attribute.attname AND NOT successor.attisdropped
  CROSS JOIN pg_catalog.aclexplode(attribute.attacl) AS acl
  WHERE attribute.attrelid = pg_catalog.to_regclass(:table_name) AND NOT attribute.attisdropped
) AS privilege
LEFT JOIN pg_catalog.pg_roles AS role ON role.oid = privilege.grantee
