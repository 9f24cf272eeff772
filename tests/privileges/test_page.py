"""What docs/privileges.md says that each role may do is what PostgreSQL says."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import URL, NullPool, create_engine, text

PAGE = Path(__file__).parents[2] / "docs" / "privileges.md"

# Every object of the store, with each of its privileges.
_MAY = """
    SELECT 'schema' AS kind, nspname::text AS name, privilege
    FROM pg_namespace, unnest('{USAGE,CREATE}'::text[]) AS privilege
    WHERE nspname = 'message_store' AND has_schema_privilege(:role, oid, privilege)
    UNION ALL
    SELECT CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END, relname, privilege
    FROM pg_class,
        unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS privilege
    WHERE relnamespace = 'message_store'::regnamespace AND relkind IN ('r', 'v')
        AND has_table_privilege(:role, oid, privilege)
    UNION ALL
    SELECT
        'column',
        CASE relname WHEN 'messages' THEN '' ELSE relname || '.' END || attname,
        privilege
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid,
        unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) AS privilege
    WHERE attrelid IN ('message_store.messages'::regclass, 'message_store.operations'::regclass)
        AND attnum > 0
        AND has_column_privilege(:role, attrelid, attnum, privilege)
    UNION ALL
    SELECT 'sequence', relname, privilege
    FROM pg_class, unnest('{USAGE,SELECT,UPDATE}'::text[]) AS privilege
    WHERE relnamespace = 'message_store'::regnamespace AND relkind = 'S'
        AND has_sequence_privilege(:role, oid, privilege)
    UNION ALL
    SELECT 'function', proname, 'EXECUTE'
    FROM pg_proc
    WHERE pronamespace = 'message_store'::regnamespace
        AND has_function_privilege(:role, oid, 'EXECUTE')
"""

_OBJECTS = """
    SELECT
        CASE relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END,
        relname::text
    FROM pg_class
    WHERE relnamespace = 'message_store'::regnamespace AND relkind IN ('r', 'v', 'S')
        AND relname <> 'mdb_sqla_version'
    UNION ALL
    SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'message_store'::regnamespace
    UNION ALL
    SELECT 'column', CASE relname WHEN 'messages' THEN '' ELSE relname || '.' END || attname
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    WHERE attrelid IN ('message_store.messages'::regclass, 'message_store.operations'::regclass)
        AND attnum > 0
    UNION ALL
    SELECT 'schema', 'message_store'
"""

Grant = tuple[str, str, str]


def told() -> tuple[list[str], dict[str, set[Grant]], list[tuple[str, str]]]:
    """Read the page's table: the roles, what each may do, and the objects."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and line.count("|") == 6
    ]
    roles = [cell.strip("`").replace("…", "message_store") for cell in rows[0][1:]]
    grants: dict[str, set[Grant]] = {role: set() for role in roles}
    objects = []
    for cells in rows[2:]:
        kind = re.search(r"schema|table|column|sequence|view|function", cells[0])
        assert kind is not None
        for name in re.findall(r"`([\w.]+)`", cells[0]):
            objects.append((kind[0], name))
            for role, privileges in zip(roles, cells[1:], strict=True):
                grants[role] |= {(kind[0], name, each) for each in privileges.split(", ") if each}
    return roles, grants, objects


def test_every_object_is_there_once(store: URL) -> None:
    _, _, objects = told()
    with create_engine(store, poolclass=NullPool).connect() as connection:
        assert sorted(objects) == sorted(tuple(row) for row in connection.execute(text(_OBJECTS)))


def test_roles_may_do_what_the_page_says_and_no_more(store: URL) -> None:
    roles, grants, _ = told()
    with create_engine(store, poolclass=NullPool).connect() as connection:
        for role in roles:
            rows = connection.execute(text(_MAY), {"role": role})
            assert {tuple(row) for row in rows} == grants[role], role
