"""Which of a driver's connections are the application's, and so not for a thread of ours."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast
from weakref import WeakSet

from sqlalchemy import Connection, Pool

from mdb_sqla.errors import InvalidArgument

__all__ = ["keep_apart", "note"]

_applications: WeakSet[Any] = WeakSet()


def note(connection: Connection | None) -> None:
    """Remember that a connection is the application's."""
    # What can't be referred to weakly is not remembered.
    with suppress(TypeError):
        if connection is not None:
            _applications.add(connection.connection.driver_connection)


def keep_apart(pool: Pool, dialect: Any) -> None:
    """Have a pool refuse connections of the application's, as a `creator` may return them again.

    Before anything is sent, and without closing them: SQLAlchemy would roll back the application's
    transaction first, and set the isolation level.
    """
    create = pool._invoke_creator

    def create_another(connection_record: Any) -> Any:
        connection = create(connection_record)
        if dialect.get_driver_connection(connection) in _applications:
            raise InvalidArgument(
                "The engine's creator has returned a connection that the application uses, where a "
                "new one was needed beside it: have it connect each time that it is called, or "
                "turn this off with the execution option message_store_wake_up=False"
            )
        return connection

    # Not a listener of `connect`: SQLAlchemy closes the connection for which that fails. This is
    # what pools that are made of this one inherit.
    pool._creator = cast(Any, create_another)
