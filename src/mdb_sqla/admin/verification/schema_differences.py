"""Differences between a store and what the revisions create, with remedies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

from mdb_sqla.admin.verification.schema_structure import Grant, Structure, in_source, unqualified
from mdb_sqla.database.execution import quoted
from mdb_sqla.migrations.version_steps import CITUS

__all__ = ["SEQUENCE", "Difference", "differences"]

_UPGRADE = "Run mdb upgrade, or your Alembic revision that calls migrations.upgrade()"
# set_lock_granularity() replaces this function.
_ALTERNATIVES = {"lock_granularity()": {"SELECT 'category'", "SELECT 'stream'"}}
_MODIFYING = {"UPDATE", "DELETE", "TRUNCATE", "TRIGGER"}
_MESSAGES = re.compile(r'INSERT INTO ("(?:[^"]|"")+")\.messages\b')
_INVALID = " (invalid)"

SEQUENCE = "messages_global_position_seq"


class Difference(NamedTuple):
    """A problem that a verification has found.

    Attributes:
        where: the object with the problem.
        what: the problem.
        remedy: how to fix it.
    """

    where: str
    what: str
    remedy: str


def differences(store: Structure, reference: Structure, schema: str) -> Iterator[Difference]:
    """Compare a schema with what the revisions create."""
    identifier = quoted(schema)
    if store.revisions is not None and (reference.revisions or set()) - store.revisions:
        yield Difference("Revisions", f"{_list(store)} instead of {_list(reference)}", _UPGRADE)
    old_name = _old_name(store)
    if old_name is not None:
        what = f"it was renamed, and its functions still refer to {old_name}"
        yield Difference("Schema", what, f"ALTER SCHEMA {identifier} RENAME TO {old_name};")
    for (kind, name), definition in reference.parts.items():
        actual = store.parts.get((kind, name))
        if actual is not None and old_name is not None and kind == "function body":
            actual = unqualified(actual, in_source(old_name[1:-1].replace('""', '"')))
        allowed = _ALTERNATIVES.get(name, set()) if kind == "function body" else set()
        if actual != definition and actual not in allowed:
            yield _object_difference(kind, name, definition, actual, identifier)
    yield from _privilege_differences(store, reference, identifier)


def _old_name(store: Structure) -> str | None:
    """Return the schema that the functions refer to, if it is not the one that contains them."""
    bodies = (body for (kind, _), body in store.parts.items() if kind == "function body")
    return next((match[1] for body in bodies if (match := _MESSAGES.search(body))), None)


def _object_difference(
    kind: str, name: str, definition: str, actual: str | None, identifier: str
) -> Difference:
    where = f"{kind.capitalize()} {name}"
    file = _file(name) if kind.startswith("function") else None
    remedy = f"Run {file}" if file else f"Create it: {definition}"
    if actual is None:
        return Difference(where, "is missing", f"{_UPGRADE}; if that changes nothing: {remedy}")
    if kind == "index" and actual == definition + _INVALID:
        remedy = f"REINDEX INDEX CONCURRENTLY {identifier}.{name};"
        return Difference(where, "is invalid, so queries do not use it", remedy)
    if kind == "function body":
        return Difference(where, "was modified", remedy)
    return Difference(where, f"is {actual} instead of {definition}", remedy)


def _privilege_differences(
    store: Structure, reference: Structure, identifier: str
) -> Iterator[Difference]:
    roles = {grant.grantee for grant in reference.explicit} - {"PUBLIC"}
    required = {grant for grant in reference.explicit if grant.kind != "SCHEMA"}
    required |= {Grant("SCHEMA", "", role, "USAGE") for role in roles}
    for grant in sorted(required - store.effective):
        remedy = f"GRANT {_clause(grant, identifier)} TO {grant.grantee};"
        yield Difference(_where(grant), f"{grant.grantee} lacks {grant.privilege}", remedy)
    for grant in sorted(store.explicit - reference.explicit):
        why = _forbidden(grant)
        if why is not None:
            remedy = f"REVOKE {_clause(grant, identifier)} FROM {grant.grantee};"
            what = f"{grant.grantee} has {grant.privilege}: {why}"
            yield Difference(_where(grant), what, remedy)


def _forbidden(grant: Grant) -> str | None:
    """Return why only the owner of the store may have this privilege; None if any role may."""
    if grant.name.partition(".")[0] == "messages" and grant.privilege in _MODIFYING:
        return "messages must never change"
    if grant == Grant("SCHEMA", "", grant.grantee, "CREATE"):
        return "a function created there could be called instead of the store's"
    if grant == Grant("SEQUENCE", SEQUENCE, grant.grantee, "UPDATE"):
        return "global positions must never go back"
    return None


def _list(structure: Structure) -> str:
    return ", ".join(sorted(structure.revisions or ()))


def _where(grant: Grant) -> str:
    return f"{grant.kind.capitalize()} {grant.name}".strip()


def _clause(grant: Grant, identifier: str) -> str:
    if grant.kind == "COLUMN":
        table, _, column = grant.name.partition(".")
        return f"{grant.privilege} ({column}) ON TABLE {identifier}.{table}"
    object_ = f"{identifier}.{grant.name}" if grant.name else identifier
    return f"{grant.privilege} ON {grant.kind} {object_}"


def _file(function: str) -> str | None:
    """Return the newest SQL file that creates a function."""
    name = f"functions/{function.partition('(')[0]}.sql"
    revisions = files("mdb_sqla.versions").joinpath("sql").iterdir()
    found = sorted(
        each.name
        for each in revisions
        if not each.name.startswith(CITUS) and each.joinpath(name).is_file()
    )
    return f"mdb_sqla/versions/sql/{found[-1]}/{name}" if found else None
