"""The engine for writes, and the execution options that select the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from mdb_sqla.database.execution import bind_of, check_driver
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.wake_up.channel import STORE_OPTIONS

__all__ = ["engine_of", "store_options"]


def engine_of(session: Session) -> Engine:
    """Return the engine for writes, with the execution options that select the store.

    Raises:
        InvalidArgument: the session has joined an open transaction, or the driver is not supported.
    """
    bind = bind_of(session)
    check_driver(bind.dialect)
    if isinstance(bind, Connection) and bind.in_transaction():
        raise InvalidArgument(
            "The sessionmaker must open sessions that can begin and commit their own transactions, "
            f"but it is bound to a connection that is already in a transaction, {bind!r}; bind it "
            "to the engine instead"
        )
    # Sessions have execution options since SQLAlchemy 2.1.
    options = {
        **bind.get_execution_options(),
        **(getattr(session, "execution_options", None) or {}),
    }
    return bind.engine.execution_options(**_of_store(options))


def store_options(engine: Engine) -> dict[str, Any]:
    """Return the execution options of an engine that select the store."""
    return _of_store(engine.get_execution_options())


def _of_store(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in STORE_OPTIONS if name in options}
