"""Everything that a database's catalog says about what is not PostgreSQL's own, to compare."""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import URL

from tests.side_by_side.message_db import conninfo

Catalog = dict[str, list[tuple[Any, ...]]]

ROLES = (
    "('message_store', 'message_store_reader', 'message_store_writer', 'message_store_consumer')"
)

_OTHERS = r"nspname !~ '^pg_(toast|temp)|^pg_catalog$|^information_schema$'"


def _privileges(kind: str, privileges: str, owner: str) -> str:
    # NULL stands for the default, which a GRANT and its REVOKE spell out.
    return f"""(
        SELECT array_agg(item::text ORDER BY item::text)
        FROM unnest(coalesce({privileges}, acldefault('{kind}', {owner}))) AS item
    )"""


_SECTIONS = {
    "schemas": f"""
        SELECT nspname, nspowner::regrole::text, {_privileges("n", "nspacl", "nspowner")}
        FROM pg_namespace WHERE {_OTHERS}
    """,
    "relations": f"""
        SELECT
            nspname, relname, relkind::text, relowner::regrole::text, relpersistence::text,
            reloptions, relrowsecurity, relreplident::text, relispartition,
            CASE
                WHEN relkind = 'S' THEN {_privileges("s", "relacl", "relowner")}
                ELSE {_privileges("r", "relacl", "relowner")}
            END,
            CASE
                WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(pg_class.oid)
                WHEN relkind IN ('i', 'I') THEN pg_get_indexdef(pg_class.oid)
            END
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE {_OTHERS}
    """,
    "columns": f"""
        SELECT
            nspname, relname, attname, format_type(atttypid, atttypmod), attnotnull,
            attidentity::text, attgenerated::text, attstorage::text, attstattarget,
            attcollation::regcollation::text, attacl::text, pg_get_expr(adbin, adrelid)
        FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
        WHERE {_OTHERS} AND attnum > 0 AND NOT attisdropped
    """,
    "indexes": f"""
        SELECT
            nspname, relname, indrelid::regclass::text, indisunique, indisprimary, indisvalid,
            indisready, indislive, indisclustered, indisreplident
        FROM pg_index
        JOIN pg_class ON pg_class.oid = indexrelid
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE {_OTHERS}
    """,
    "constraints": f"""
        SELECT nspname, conname, conrelid::regclass::text, pg_get_constraintdef(pg_constraint.oid)
        FROM pg_constraint JOIN pg_namespace ON pg_namespace.oid = connamespace
        WHERE {_OTHERS}
    """,
    "sequences": """
        SELECT schemaname, sequencename, data_type::text, start_value, min_value, max_value,
            increment_by, cycle, cache_size, last_value
        FROM pg_sequences
    """,
    "functions": f"""
        SELECT nspname, pg_proc.oid::regprocedure::text, proowner::regrole::text,
            {_privileges("f", "proacl", "proowner")}, pg_get_functiondef(pg_proc.oid), prosrc
        FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
        WHERE {_OTHERS} AND prokind IN ('f', 'p')
    """,
    "types": f"""
        SELECT nspname, typname, typtype::text, typowner::regrole::text,
            {_privileges("T", "typacl", "typowner")}
        FROM pg_type JOIN pg_namespace ON pg_namespace.oid = typnamespace
        WHERE {_OTHERS}
    """,
    "triggers": """
        SELECT pg_get_triggerdef(oid), tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
    """,
    "policies": "SELECT * FROM pg_policies",
    "rules": f"SELECT * FROM pg_rules WHERE {_OTHERS.replace('nspname', 'schemaname')}",
    "extensions": "SELECT extname, extnamespace::regnamespace::text, extversion FROM pg_extension",
    "default privileges": """
        SELECT defaclrole::regrole::text, defaclnamespace::regnamespace::text,
            defaclobjtype::text, defaclacl::text
        FROM pg_default_acl
    """,
    "comments": f"""
        SELECT pg_describe_object(classoid, objoid, objsubid), description
        FROM pg_description
        WHERE objoid >= 16384 OR classoid = 'pg_namespace'::regclass
        UNION ALL
        SELECT 'role ' || objoid::regrole, description
        FROM pg_shdescription
        WHERE classoid = 'pg_authid'::regclass AND objoid::regrole::text IN {ROLES}
    """,
    "dependencies": """
        SELECT *
        FROM (
            SELECT pg_describe_object(classid, objid, objsubid) AS object,
                pg_describe_object(refclassid, refobjid, refobjsubid) AS referenced, deptype::text
            FROM pg_depend WHERE objid >= 16384
        ) AS described
        WHERE object NOT LIKE '%pg_toast%'
    """,
    "role": f"""
        SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
            rolreplication, rolbypassrls, rolconnlimit, rolconfig,
            ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = pg_roles.oid)
        FROM pg_roles WHERE rolname IN {ROLES}
    """,
    "database": f"""
        SELECT datdba::regrole::text, {_privileges("d", "datacl", "datdba")},
            (SELECT setconfig::text FROM pg_db_role_setting WHERE setdatabase = pg_database.oid)
        FROM pg_database WHERE datname = current_database()
    """,
}


def catalog(database: URL) -> Catalog:
    """Read the catalog of a database."""
    with psycopg.connect(conninfo(database)) as connection:
        return catalog_within(connection)


def catalog_within(connection: psycopg.Connection[Any]) -> Catalog:
    """Read the catalog as a transaction sees it, without oids and in a fixed order."""
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL search_path = ''")
        return {
            name: sorted(connection.execute(query).fetchall(), key=repr)
            for name, query in _SECTIONS.items()
        }
