"""Whether a store is distributed with Citus."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from sqlalchemy import Engine, func, select

from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, qualified

__all__ = ["is_on_citus"]

_known: WeakKeyDictionary[Engine, dict[str, bool]] = WeakKeyDictionary()


def is_on_citus(db: Database) -> bool:
    """Return whether the store is distributed; looked up once for each engine and schema."""
    connection = connection_of(db)
    of_engine = _known.setdefault(connection.engine, {})
    name = qualified(connection, "refuse_on_citus")
    if name not in of_engine:
        function = func.pg_catalog.to_regprocedure(f"{name}(text,text)")
        of_engine[name] = bool(execute(db, select(function.is_not(None)), {}, WRITES)[0][0])
    return of_engine[name]
