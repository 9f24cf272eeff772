"""Whether a store is distributed with Citus, and what it then does not offer."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, Text, bindparam, column, func, select

from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, qualified
from mdb_sqla.function_call import call
from mdb_sqla.tables import messages, operations

__all__ = ["CATEGORY", "Unoffered", "is_on_citus", "refuse_on_citus", "refuse_on_worker"]

CATEGORY = column("category", Text)
"""The column by which messages are distributed. No other store has it."""


class _Node(NamedTuple):
    """What is known of the node that an engine connects to."""

    is_on_citus: bool
    has_operations: bool


_OTHER = _Node(is_on_citus=False, has_operations=True)
_known: WeakKeyDictionary[Engine, dict[str, _Node]] = WeakKeyDictionary()

_FUNCTION = "refuse_on_citus"
_REFUSE = select(call(_FUNCTION, Text(), (bindparam("what"), Text()), (bindparam("rule"), Text())))


class Unoffered(Enum):
    """What a store on Citus does not offer although no server function refuses it, and why."""

    CLEARING = (
        "clearing",
        "it would wait for writers on the workers without a time-out, so drop the schema and "
        "install the store again",
    )
    CONSUMERS = (
        "consumers",
        "they look messages up by positions, which each category has of its own",
    )
    IMPORT = (
        "an import",
        "messages get their time and positions on the node that has the category, so write them "
        "with load() or mdb write",
    )
    METRICS = (
        "the metrics of a store",
        "the messages are on the workers, and each category has positions of its own, so monitor "
        "each node as a PostgreSQL server",
    )
    ON_WORKER = (
        "the log of operations and keys of personal data on a worker",
        "their tables are on the coordinator, so connect to that",
    )
    OPEN_WRITERS = (
        "the open write transactions",
        "they are on the workers, so query the view citus_stat_activity",
    )
    PROJECTIONS = (
        "projections",
        "they look messages up by positions, which each category has of its own",
    )
    PROTECTION = (
        "protection from accidental changes",
        "Citus has no triggers on distributed tables, so grant only the roles of the store",
    )
    READS_OF_ALL = (
        "reads of all messages",
        "each category has positions of its own, so read one category at a time",
    )
    RETENTION = (
        "retention",
        "the next message of a category follows its last one, so that one must stay",
    )
    STANDBYS = "reads from standbys", "a standby has the messages of one node"
    SUMMARY = (
        "the summary of a store",
        "it samples positions, which each category has of its own, so count messages with mdb "
        "report, and query the view citus_tables for the size",
    )
    WEB = (
        "the web interface",
        "it finds messages by positions, which each category has of its own, so read a stream or a "
        "category with mdb print",
    )


def is_on_citus(db: Database) -> bool:
    """Return whether the store is distributed; looked up once for each engine and schema.

    False as long as no store is installed.
    """
    return _node(db).is_on_citus


def refuse_on_citus(db: Database, what: Unoffered) -> None:
    """Have the server refuse what a store on Citus does not offer, on each of its nodes.

    Raises:
        NotOffered: the store is distributed with Citus.
    """
    if _node(db).is_on_citus:
        _refuse(db, what)


def refuse_on_worker(db: Database) -> None:
    """Have a worker refuse what needs a table of the store other than `messages`.

    Raises:
        NotOffered: the store is distributed with Citus, and this node is not the coordinator.
    """
    if not _node(db).has_operations:
        _refuse(db, Unoffered.ON_WORKER)


def _refuse(db: Database, what: Unoffered) -> None:
    name, rule = what.value
    execute(db, _REFUSE, {"what": name, "rule": rule}, WRITES)


def _node(db: Database) -> _Node:
    connection = connection_of(db)
    of_engine = _known.setdefault(connection.engine, {})
    name = qualified(connection, _FUNCTION)
    if name not in of_engine:
        tables = [
            func.pg_catalog.to_regclass(qualified(connection, table.name)).is_not(None)
            for table in (messages, operations)
        ]
        function = func.pg_catalog.to_regprocedure(f"{name}(text,text)").is_not(None)
        row = execute(db, select(function, *tables), {}, WRITES)[0]
        is_distributed, is_installed, has_operations = tuple(row)
        if not is_installed:
            return _OTHER
        of_engine[name] = _Node(True, has_operations) if is_distributed else _OTHER
    return of_engine[name]
