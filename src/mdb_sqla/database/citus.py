"""Whether a store is distributed with Citus."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from sqlalchemy import Engine, func, select

from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, qualified

__all__ = ["is_on_citus"]

_known: WeakKeyDictionary[Engine, dict[str, bool]] = WeakKeyDictionary()


def is_on_citus(db: Database) -> bool:
    """Return whether the store is distributed; looked up once for each engine and schema.

    False as long as no store is installed.
    """
    connection = connection_of(db)
    of_engine = _known.setdefault(connection.engine, {})
    name = qualified(connection, "refuse_on_citus")
    if name not in of_engine:
        function = func.pg_catalog.to_regprocedure(f"{name}(text,text)")
        table = func.pg_catalog.to_regclass(qualified(connection, "messages"))
        statement = select(function.is_not(None), table.is_not(None))
        is_distributed, is_installed = tuple(execute(db, statement, {}, WRITES)[0])
        if not is_installed:
            return False
        of_engine[name] = bool(is_distributed)
    return of_engine[name]
