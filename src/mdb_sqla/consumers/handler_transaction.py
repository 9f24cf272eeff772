"""The transaction that handlers and the consumer's position share, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from mdb_sqla.consumers.operations import Conflicted, CutOff, Interrupted, NoTransaction
from mdb_sqla.database.execution import WRITES, is_autocommit
from mdb_sqla.database.server_errors import is_conflict, is_outage, is_passing
from mdb_sqla.errors import InvalidArgument

__all__ = ["HandlerTransaction", "interruptions"]

_BIND: dict[str, Any] = {"clause": WRITES}


class HandlerTransaction:
    """A transaction that handlers are called in.

    Args:
        session: of which it is the first transaction.
        isolation_level: its level; None for the engine's own.

    Raises:
        NoTransaction: the session has no transactions.
    """

    def __init__(self, session: Session, isolation_level: str | None) -> None:
        options = {} if isolation_level is None else {"isolation_level": isolation_level}
        self._session = session
        self._connection = session.connection(bind_arguments=_BIND, execution_options=options)
        self._transactions = self._current
        if is_autocommit(self._connection):
            raise NoTransaction(
                "The isolation level is AUTOCOMMIT: a handler's effects and the consumer's "
                "position need a transaction that they share"
            )

    def check(self) -> None:
        """Check that it is still the same.

        Raises:
            InvalidArgument: a handler has ended it.
        """
        if self._current != self._transactions:
            raise InvalidArgument(
                "A handler must leave the transaction open: the consumer's position belongs to it"
            )

    @property
    def _current(self) -> tuple[object, object]:
        return self._session.get_transaction(), self._connection.get_transaction()

    @contextmanager
    def handlers(self) -> Iterator[None]:
        """Call handlers, and tell their own errors from what is the database's."""
        try:
            yield
        except Exception as error:
            # Whatever the handler has made of it, the lost connection is what is behind it.
            if self._connection.invalidated or is_outage(error):
                raise CutOff(str(error)) from error
            if is_conflict(error):
                raise Conflicted(str(error)) from error
            raise

    @contextmanager
    def end(self) -> Iterator[None]:
        """Do what follows the handlers: what passes by itself is no failure of theirs.

        Their own are to be flushed by then. Only where the connection is lost, they may be behind
        it: what they have done can be too much for the server.
        """
        try:
            yield
        except Exception as error:
            if self._connection.invalidated:
                raise CutOff(str(error)) from error
            if is_conflict(error):
                raise Conflicted(str(error)) from error
            if is_passing(error):
                raise Interrupted(str(error)) from error
            raise


@contextmanager
def interruptions() -> Iterator[None]:
    """Tell what will pass from what is wrong, where no handler is called."""
    try:
        yield
    except (OSError, PoolTimeout) as error:
        # asyncpg's own where it can't connect, and the pool's where others use all of it.
        raise Interrupted(str(error)) from error
    except Exception as error:
        if is_passing(error):
            raise Interrupted(str(error)) from error
        raise
