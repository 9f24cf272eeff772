"""Calls of handlers with their unit of work."""

from __future__ import annotations

import inspect

from mdb_sqla.consumers.handler_errors import handler_errors
from mdb_sqla.consumers.handlers import Handler, is_async
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork
from mdb_sqla.store.message_decoder import decoded
from mdb_sqla.words.message import StoredMessage

__all__ = ["call", "call_async"]

# The consumer has checked the kind of each handler, which types can't express: hence the ignores.


def call(handler: Handler, message: StoredMessage, unit: UnitOfWork) -> None:
    """Call a handler in a thread, or in the greenlet of an async session.

    Raises:
        InvalidArgument: the handler returned an awaitable.
    """
    with handler_errors():
        # Types can't express which kind of handler this is.
        _check_result(handler, handler(decoded(message), unit))  # type: ignore[arg-type, call-arg]


async def call_async(handler: Handler, message: StoredMessage, unit: AsyncUnitOfWork) -> None:
    """Call a sync or async handler in a task. See `call`."""
    if not is_async(handler):
        # The handler gets the sync session of the same transaction.
        await unit.session.run_sync(
            lambda session: call(handler, message, UnitOfWork.of(session, types=unit._types))
        )
        return
    with handler_errors():
        # See `call`.
        await handler(decoded(message), unit)  # type: ignore[arg-type, call-arg]


def _check_result(handler: Handler, result: object) -> None:
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise InvalidArgument(
            f"Handler {handler!r} returned an awaitable; declare async handlers with `async def`, "
            "and run the consumer with `await consumer.run_async(...)`"
        )
