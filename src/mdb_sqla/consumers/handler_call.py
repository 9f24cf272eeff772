"""How a handler is called with its unit of work."""

from __future__ import annotations

import inspect

from mdb_sqla.consumers.handler_errors import handler_errors
from mdb_sqla.consumers.handlers import Handler, is_async
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork
from mdb_sqla.store.message_decoder import decoded
from mdb_sqla.words.message import StoredMessage

__all__ = ["call", "call_async"]

# Types can't tell which kind a handler is, but the consumer can: hence those that are ignored.


def call(handler: Handler, message: StoredMessage, unit: UnitOfWork) -> None:
    """Call a handler in a thread, or in the greenlet of an async session.

    Raises:
        InvalidArgument: what it returns has to be awaited.
    """
    with handler_errors():
        _refuse_awaitable(handler, handler(decoded(message), unit))  # type: ignore[arg-type, call-arg]


async def call_async(handler: Handler, message: StoredMessage, unit: AsyncUnitOfWork) -> None:
    """Call a handler in a task, whichever kind it is. See `call`."""
    if not is_async(handler):
        # It gets the sync session of this very transaction.
        await unit.session.run_sync(lambda session: call(handler, message, UnitOfWork.of(session)))
        return
    with handler_errors():
        await handler(decoded(message), unit)  # type: ignore[arg-type, call-arg]


def _refuse_awaitable(handler: Handler, answer: object) -> None:
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise InvalidArgument(
            f"A handler that has to be awaited must be declared with `async def`, and needs "
            f"`await consumer.run_async(...)`: {handler!r}"
        )
