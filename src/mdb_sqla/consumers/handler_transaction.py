"""The transaction shared by handlers and the consumer's position, and its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from mdb_sqla.consumers.loop_operations import (
    ConnectionLost,
    HandlerConflict,
    Interrupted,
    NoTransaction,
)
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import WRITES, is_autocommit
from mdb_sqla.database.sqlstates import is_conflict, is_outage, is_transient
from mdb_sqla.errors import InvalidArgument

__all__ = ["HandlerTransaction", "interruptions"]

_BIND: dict[str, Any] = {"clause": WRITES}


class HandlerTransaction:
    """A transaction that handlers are called in.

    Args:
        session: a new session.
        isolation_level: the isolation level; None for that of the engine.

    Raises:
        NoTransaction: the session's isolation level is AUTOCOMMIT.
    """

    def __init__(self, session: Session, isolation_level: str | None) -> None:
        options = {} if isolation_level is None else {"isolation_level": isolation_level}
        self._session = session
        self._connection = session.connection(bind_arguments=_BIND, execution_options=options)
        self._transactions = self._current
        if is_autocommit(self._connection):
            raise NoTransaction(
                "The isolation level is AUTOCOMMIT, but a handler's effects and the consumer's "
                "position must share a transaction: choose another isolation level"
            )

    def check(self) -> None:
        """Check that the transaction is still open.

        Raises:
            InvalidArgument: a handler has ended the transaction.
        """
        if self._current != self._transactions:
            raise InvalidArgument(
                "A handler ended its transaction; it must leave the transaction open, because the "
                "consumer saves its position in it"
            )

    @property
    def _current(self) -> tuple[object, object]:
        return self._session.get_transaction(), self._connection.get_transaction()

    @contextmanager
    def handlers(self) -> Iterator[None]:
        """Translate database errors while handlers are called."""
        try:
            yield
        except Exception as error:
            # A lost connection is the cause, even if the handler has raised another error.
            if self._connection.invalidated or is_outage(error):
                raise ConnectionLost(str(error)) from error
            if is_conflict(error):
                raise HandlerConflict(str(error)) from error
            raise

    @contextmanager
    def end(self) -> Iterator[None]:
        """Translate errors after the handlers, when their changes have been flushed.

        A transient error is not the handlers' fault. Only a lost connection may be: their changes
        can be too much for the server.
        """
        try:
            yield
        except Exception as error:
            # Errors of drivers and of SQLAlchemy have no common class; others are raised again.
            if self._connection.invalidated:
                raise ConnectionLost(str(error)) from error
            if is_conflict(error):
                raise HandlerConflict(str(error)) from error
            if is_transient(error):
                raise Interrupted(str(error)) from error
            raise


@contextmanager
def interruptions() -> Iterator[None]:
    """Translate errors while no handler is called: of the consumer's own statements."""
    with translated():
        try:
            yield
        except (OSError, PoolTimeout) as error:
            # asyncpg can't connect, or the pool is exhausted.
            raise Interrupted(str(error)) from error
        except Exception as error:
            # Any class, as in `HandlerTransaction.end`.
            if is_transient(error):
                raise Interrupted(str(error)) from error
            raise
