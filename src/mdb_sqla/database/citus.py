"""Whether a store is distributed with Citus, and what it then does not offer."""

from __future__ import annotations

from enum import Enum
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect, Text, bindparam, column, func, select

from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, qualified
from mdb_sqla.function_call import call
from mdb_sqla.tables import messages, operations

__all__ = ["CATEGORY", "Unoffered", "is_on_citus", "refuse_on_citus", "refuse_on_worker"]

CATEGORY = column("category", Text)
"""The column by which messages are distributed. No other store has it."""


# An engine shares its dialect with those that `Engine.execution_options` derives from it.
_known: WeakKeyDictionary[Dialect, dict[str, bool]] = WeakKeyDictionary()

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
    connection = connection_of(db)
    of_engine = _known.setdefault(connection.dialect, {})
    name = qualified(connection, _FUNCTION)
    if name not in of_engine:
        function = func.pg_catalog.to_regprocedure(f"{name}(text,text)")
        table = func.pg_catalog.to_regclass(qualified(connection, messages.name))
        statement = select(function.is_not(None), table.is_not(None))
        is_distributed, is_installed = tuple(execute(db, statement, {}, WRITES)[0])
        if not is_installed:
            return False
        of_engine[name] = bool(is_distributed)
    return of_engine[name]


def refuse_on_citus(db: Database, what: Unoffered) -> None:
    """Have the server refuse what a store on Citus does not offer, on each of its nodes.

    Raises:
        NotOffered: the store is distributed with Citus.
    """
    if is_on_citus(db):
        _refuse(db, what)


def refuse_on_worker(db: Database) -> None:
    """Have a worker refuse what needs a table of the store other than `messages`.

    Raises:
        NotOffered: the store is distributed with Citus, and this node is not the coordinator.
    """
    if not is_on_citus(db):
        return
    # Asked each time: an engine may connect to several nodes.
    table = func.pg_catalog.to_regclass(qualified(connection_of(db), operations.name))
    ((has_table,),) = execute(db, select(table.is_not(None)), {}, WRITES)
    if not has_table:
        _refuse(db, Unoffered.ON_WORKER)


def _refuse(db: Database, what: Unoffered) -> None:
    name, rule = what.value
    execute(db, _REFUSE, {"what": name, "rule": rule}, WRITES)
