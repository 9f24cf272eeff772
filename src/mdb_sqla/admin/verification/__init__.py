"""Verification of a store's schema, privileges and messages.

Additional objects of the application (indexes, triggers, views) are ignored, as are the definitions
of the report views, because an adopted store keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from mdb_sqla import tables
from mdb_sqla.admin.protection import has_protection
from mdb_sqla.admin.verification import data_rules
from mdb_sqla.admin.verification.schema_differences import SEQUENCE, Difference, differences
from mdb_sqla.admin.verification.schema_structure import Structure, expected, found
from mdb_sqla.database.citus import is_on_citus
from mdb_sqla.database.error_fields import sqlstate_of
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import qualified
from mdb_sqla.errors import NotPermitted, StoreNotInstalled
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA, checked_schema
from mdb_sqla.tables import SCHEMA
from mdb_sqla.words.argument_checks import instance

__all__ = ["Difference", "Verification", "verify"]

_NOT_PERMITTED = {"42501", "25006"}
"""SQLSTATEs: insufficient privilege, and a read-only transaction or server."""


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Attributes:
        differences: the problems found; empty for a valid store.
        checked: descriptions of what was checked.
        left_out: what was skipped, and why.
    """

    differences: list[Difference] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether no problems were found."""
        return not self.differences


def verify(engine: Engine, *, schema: str = DEFAULT_SCHEMA, quick: bool = False) -> Verification:
    """Check the schema, privileges and messages of a store.

    Changes nothing, blocks nobody, and can run while others write.

    Args:
        engine: an engine that connects as any role that may read the messages. Checking the schema
            requires the privilege to create temporary tables, on a primary; otherwise it is
            skipped, which `left_out` reports.
        schema: the schema of the store.
        quick: whether to skip the messages, all of which are read otherwise.

    Raises:
        InvalidArgument: `engine` is not an Engine.
        StoreNotInstalled: the schema has no table `messages`.
    """
    schema = checked_schema(schema)
    result = Verification()
    engine = instance("engine", engine, Engine).execution_options(
        isolation_level="READ COMMITTED", schema_translate_map={SCHEMA: schema}
    )
    with translated(), engine.begin() as connection:
        store = found(connection, schema)
        if ("table", "messages") not in store.parts:
            raise StoreNotInstalled(
                f"There is no message store in schema {schema!r}: install it with mdb upgrade"
            )
        on_citus = is_on_citus(connection)
        reference = None if on_citus else _expected(connection, store, result)
        if reference is not None:
            result.differences.extend(differences(store, reference, schema))
    with translated(), engine.begin() as connection:
        if on_citus:
            result.differences.extend(_check_categories(connection, result, quick=quick))
            return result
        result.differences.extend(_check_data(connection, schema, store, result, quick=quick))
    return result


def _expected(connection: Connection, store: Structure, result: Verification) -> Structure | None:
    roles = _has_roles(store)
    try:
        reference = expected(connection, roles=roles)
    except (DBAPIError, NotPermitted) as error:
        if isinstance(error, DBAPIError) and sqlstate_of(error) not in _NOT_PERMITTED:
            raise
        why = error.orig if isinstance(error, DBAPIError) else error
        result.left_out.append(f"Schema: {why}".strip())
        return None
    result.checked.append(
        f"{len(reference.parts)} schema objects: tables, columns, indexes, functions and others"
    )
    if roles:
        result.checked.append(f"{len(reference.explicit)} privileges")
    else:
        result.left_out.append("Privileges: the roles are not installed")
    return reference


def _has_roles(store: Structure) -> bool:
    """Return whether the revisions of the roles were applied.

    Grants alone don't prove it: an adopted store has some without these revisions.
    """
    if store.revisions is not None:
        return any(revision.startswith("message_store_role") for revision in store.revisions)
    return any(
        grant.name == "consumer_slots" and grant.grantee.startswith("message_store")
        for grant in store.explicit
    )


def _check_categories(
    connection: Connection, result: Verification, *, quick: bool
) -> Iterator[Difference]:
    result.left_out.append("Schema and privileges: the store is distributed with Citus")
    if quick:
        result.left_out.append("Messages: skipped by a quick verification")
        return
    number = connection.scalar(select(func.count()).select_from(tables.messages))
    yield from data_rules.categories(connection)
    result.checked.append(f"{number:,} messages: positions and global positions")


def _check_data(
    connection: Connection, schema: str, store: Structure, result: Verification, *, quick: bool
) -> Iterator[Difference]:
    name = f"{connection.scalar(select(func.quote_ident(schema)))}.{SEQUENCE}"
    columns = {("column", f"messages.{column.name}") for column in tables.messages.columns}
    if not columns | {("sequence", SEQUENCE)} <= store.parts.keys():
        result.left_out.append("Messages: the table is incomplete")
        return
    yield from data_rules.sequence(connection, name)
    result.checked.append("Sequence of global positions")
    protection = "on" if has_protection(connection) else "off"
    result.checked.append(f"Protection of messages from accidental changes: {protection}")
    if ("table", "consumer_slots") in store.parts:
        yield from data_rules.consumers(connection, name)
        result.checked.append("Positions of consumers")
    if quick:
        result.left_out.append("Messages: skipped by a quick verification")
        return
    number = connection.scalar(select(func.count()).select_from(tables.messages))
    yield from data_rules.streams(connection, deletions=_deletions(connection, store, result))
    yield from data_rules.ids(connection)
    result.checked.append(f"{number:,} messages: positions, global positions and ids")


def _deletions(connection: Connection, store: Structure, result: Verification) -> bool | None:
    """Return whether the store records which messages were deleted; None if that can't be read."""
    needed = (tables.stream_heads, tables.deleted_positions)
    if not {("table", table.name) for table in needed} <= store.parts.keys():
        return False
    for table in needed:
        name = qualified(connection, table.name)
        if not connection.scalar(select(func.has_table_privilege(name, "SELECT"))):
            result.left_out.append(
                f"The first position of each stream: the role may not read {table.name}"
            )
            return None
    return True
