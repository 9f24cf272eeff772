"""Where a store differs from what the revisions would have made, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

from mdb_sqla.admin.verification.schema_structure import Grant, Structure, in_source, unqualified

__all__ = ["SEQUENCE", "Difference", "differences"]

_UPGRADE = "Run mdb upgrade, or the revision of yours that calls migrations.upgrade()"
# set_lock_granularity() replaces it.
_SWITCHES = {"lock_granularity()": {"SELECT 'category'", "SELECT 'stream'"}}
_CHANGING = {"UPDATE", "DELETE", "TRUNCATE", "TRIGGER"}
_MESSAGES = re.compile(r'INSERT INTO ("(?:[^"]|"")+")\.messages\b')
_INVALID = " (invalid)"

SEQUENCE = "messages_global_position_seq"


class Difference(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        where: what it is about.
        what: what differs.
        remedy: what to do.
    """

    where: str
    what: str
    remedy: str


def differences(store: Structure, made: Structure, schema: str) -> Iterator[Difference]:
    """Compare what is in a schema with what the revisions make."""
    identifier = '"' + schema.replace('"', '""') + '"'
    if store.revisions is not None and (made.revisions or set()) - store.revisions:
        yield Difference("Revisions", f"{_list(store)}, and not {_list(made)}", _UPGRADE)
    named = _named(store)
    if named is not None:
        what = f"it was renamed, and the functions in it still name {named}"
        yield Difference("Schema", what, f"ALTER SCHEMA {identifier} RENAME TO {named};")
    for (kind, name), definition in made.parts.items():
        actual = store.parts.get((kind, name))
        if actual is not None and named is not None and kind == "function body":
            actual = unqualified(actual, in_source(named[1:-1].replace('""', '"')))
        allowed = _SWITCHES.get(name, set()) if kind == "function body" else set()
        if actual != definition and actual not in allowed:
            yield _of_part(kind, name, definition, actual, identifier)
    yield from _of_privileges(store, made, identifier)


def _named(store: Structure) -> str | None:
    """Return the schema that functions name as theirs, if it is not the one that they are in."""
    bodies = (body for (kind, _), body in store.parts.items() if kind == "function body")
    return next((match[1] for body in bodies if (match := _MESSAGES.search(body))), None)


def _of_part(
    kind: str, name: str, definition: str, actual: str | None, identifier: str
) -> Difference:
    where = f"{kind.capitalize()} {name}"
    restored = _file(name) if kind.startswith("function") else None
    remedy = f"Run {restored}" if restored else f"Make it: {definition}"
    if actual is None:
        return Difference(where, "is missing", f"{_UPGRADE}; if that changes nothing: {remedy}")
    if kind == "index" and actual == definition + _INVALID:
        remedy = f"REINDEX INDEX CONCURRENTLY {identifier}.{name};"
        return Difference(where, "is invalid, so that nothing reads it", remedy)
    if kind == "function body":
        return Difference(where, "is another", remedy)
    return Difference(where, f"is {actual}, not {definition}", remedy)


def _of_privileges(store: Structure, made: Structure, identifier: str) -> Iterator[Difference]:
    roles = {grant.grantee for grant in made.explicit} - {"PUBLIC"}
    due = {grant for grant in made.explicit if grant.kind != "SCHEMA"}
    due |= {Grant("SCHEMA", "", role, "USAGE") for role in roles}
    for grant in sorted(due - store.effective):
        remedy = f"GRANT {_words(grant, identifier)} TO {grant.grantee};"
        yield Difference(_where(grant), f"{grant.grantee} may not {grant.privilege}", remedy)
    for grant in sorted(store.explicit - made.explicit):
        why = _forbidden(grant)
        if why is not None:
            remedy = f"REVOKE {_words(grant, identifier)} FROM {grant.grantee};"
            what = f"{grant.grantee} may {grant.privilege}, and {why}"
            yield Difference(_where(grant), what, remedy)


def _forbidden(grant: Grant) -> str | None:
    """Why only the owner of the store is to have this privilege; None where anybody may."""
    if grant.name.partition(".")[0] == "messages" and grant.privilege in _CHANGING:
        return "messages are never changed"
    if grant == Grant("SCHEMA", "", grant.grantee, "CREATE"):
        return "a function that is put there can be called instead of the store's"
    if grant == Grant("SEQUENCE", SEQUENCE, grant.grantee, "UPDATE"):
        return "global positions never go back"
    return None


def _list(structure: Structure) -> str:
    return ", ".join(sorted(structure.revisions or ()))


def _where(grant: Grant) -> str:
    return f"{grant.kind.capitalize()} {grant.name}".strip()


def _words(grant: Grant, identifier: str) -> str:
    if grant.kind == "COLUMN":
        table, _, column = grant.name.partition(".")
        return f"{grant.privilege} ({column}) ON TABLE {identifier}.{table}"
    object_ = f"{identifier}.{grant.name}" if grant.name else identifier
    return f"{grant.privilege} ON {grant.kind} {object_}"


def _file(function: str) -> str | None:
    """The newest file of the revisions that makes a function, below the package `versions`."""
    name = f"functions/{function.partition('(')[0]}.sql"
    revisions = files("mdb_sqla.versions").joinpath("sql").iterdir()
    having = sorted(each.name for each in revisions if each.joinpath(name).is_file())
    return f"mdb_sqla/versions/sql/{having[-1]}/{name}" if having else None
