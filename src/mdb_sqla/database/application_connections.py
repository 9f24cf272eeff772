"""The application's driver connections, which background threads must not use."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast
from weakref import WeakSet

from sqlalchemy import Connection, Pool

from mdb_sqla.errors import InvalidArgument

__all__ = ["register_application_connection", "reject_application_connections"]

_application_connections: WeakSet[Any] = WeakSet()


def register_application_connection(connection: Connection | None) -> None:
    """Register a driver connection as the application's."""
    # Driver connections that don't support weak references are not registered.
    with suppress(TypeError):
        if connection is not None:
            _application_connections.add(connection.connection.driver_connection)


def reject_application_connections(pool: Pool, dialect: Any) -> None:
    """Make a pool reject application connections, which an engine's `creator` may return again.

    The pool rejects them before anything is sent, and without closing them. SQLAlchemy would
    otherwise roll back the application's transaction and set its isolation level.
    """
    create = pool._invoke_creator

    def create_another(connection_record: Any) -> Any:
        connection = create(connection_record)
        if dialect.get_driver_connection(connection) in _application_connections:
            raise InvalidArgument(
                "The engine's creator returned a connection that the application is already using: "
                "make it open a new connection on each call, or disable notifications with the "
                "execution option message_store_wake_up=False"
            )
        return connection

    # Not a `connect` listener: SQLAlchemy closes the connection if the listener raises. Pools
    # recreated from this one inherit the creator.
    pool._creator = cast(Any, create_another)
