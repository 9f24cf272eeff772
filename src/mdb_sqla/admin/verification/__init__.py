"""Whether a store is what the revisions would have made, and its messages keep the rules.

What is there beside that (an index, a trigger, a view of the application's) is its owner's business
and not looked at; nor are the texts of the report views, for an adopted store keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from mdb_sqla import tables
from mdb_sqla.admin.verification import data_rules
from mdb_sqla.admin.verification.schema_differences import SEQUENCE, Difference, differences
from mdb_sqla.admin.verification.schema_structure import Structure, expected, found
from mdb_sqla.database.diagnostics import sqlstate_of
from mdb_sqla.database.refusals import translated
from mdb_sqla.errors import NotPermitted, StoreNotInstalled
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA, checked_schema
from mdb_sqla.tables import SCHEMA

__all__ = ["Difference", "Verification", "verify"]

_MAY_NOT = {"42501", "25006"}
"""SQLSTATEs of an insufficient privilege, and of a transaction or server that is read-only."""


@dataclass(frozen=True)
class Verification:
    """What a verification has found.

    Attributes:
        differences: what is not as it should be; none in a store that is sound.
        checked: what was compared, in words.
        left_out: what could not be compared or was not to be, and why.
    """

    differences: list[Difference] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def verify(engine: Engine, *, schema: str = DEFAULT_SCHEMA, quick: bool = False) -> Verification:
    """Compare a store with what the revisions would have made, and its messages with the rules.

    It changes nothing, and nobody waits for it. It may be done while others write.

    Args:
        engine: connects as any role that may read the messages. One that may not make temporary
            tables, or is on a standby, can't compare the parts: then `left_out` says so.
        schema: the schema of the store.
        quick: whether to leave the messages out, all of which are read otherwise.

    Raises:
        StoreNotInstalled: there is no table `messages` in the schema.
    """
    schema = checked_schema(schema)
    told = Verification()
    own = engine.execution_options(
        isolation_level="READ COMMITTED", schema_translate_map={SCHEMA: schema}
    )
    with translated(), own.begin() as connection:
        store = found(connection, schema)
        if ("table", "messages") not in store.parts:
            raise StoreNotInstalled(f"There is no message store in schema {schema!r}")
        made = _expected(connection, store, told)
        if made is not None:
            told.differences.extend(differences(store, made, schema))
    with translated(), own.begin() as connection:
        told.differences.extend(_of_data(connection, schema, store, told, quick=quick))
    return told


def _expected(connection: Connection, store: Structure, told: Verification) -> Structure | None:
    roles = _has_roles(store)
    try:
        made = expected(connection, roles=roles)
    except (DBAPIError, NotPermitted) as error:
        if isinstance(error, DBAPIError) and sqlstate_of(error) not in _MAY_NOT:
            raise
        why = error.orig if isinstance(error, DBAPIError) else error
        told.left_out.append(f"Tables, functions and the like: {why}".strip())
        return None
    told.checked.append(
        f"{len(made.parts)} parts: tables, columns, indexes, functions and the like"
    )
    if roles:
        told.checked.append(f"{len(made.explicit)} privileges")
    else:
        told.left_out.append("Privileges of roles: the revisions of the roles were not run")
    return made


def _has_roles(store: Structure) -> bool:
    """Whether the revisions of the roles were run; an adopted store has grants without them."""
    if store.revisions is not None:
        return any(revision.startswith("message_store_role") for revision in store.revisions)
    return any(
        grant.name == "consumer_slots" and grant.grantee.startswith("message_store")
        for grant in store.explicit
    )


def _of_data(
    connection: Connection, schema: str, store: Structure, told: Verification, *, quick: bool
) -> Iterator[Difference]:
    name = f"{connection.scalar(select(func.quote_ident(schema)))}.{SEQUENCE}"
    columns = {("column", f"messages.{column.name}") for column in tables.messages.columns}
    if not columns | {("sequence", SEQUENCE)} <= store.parts.keys():
        told.left_out.append("Messages: the table is not complete")
        return
    yield from data_rules.sequence(connection, name)
    told.checked.append("Where the sequence is")
    if ("table", "consumer_slots") in store.parts:
        yield from data_rules.consumers(connection, name)
        told.checked.append("Where the consumers are")
    if quick:
        told.left_out.append("Messages: a quick verification does not read them")
        return
    number = connection.scalar(select(func.count()).select_from(tables.messages))
    yield from data_rules.streams(connection)
    yield from data_rules.ids(connection)
    told.checked.append(f"{number} messages: positions, global positions and ids")
