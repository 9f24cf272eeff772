"""The engine of an operation that changes a projection."""

from __future__ import annotations

from sqlalchemy import Engine

from mdb_sqla.words.argument_checks import instance

__all__ = ["read_committed"]


def read_committed(engine: Engine) -> Engine:
    """Return an engine whose transactions are at READ COMMITTED, in the same store.

    Raises:
        InvalidArgument: it is not an Engine.
    """
    return instance("engine", engine, Engine).execution_options(isolation_level="READ COMMITTED")
