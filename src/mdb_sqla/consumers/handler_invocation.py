"""Calls of handlers with their unit of work."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from sqlalchemy.orm import Session

from mdb_sqla.consumers.handler_errors import handler_errors
from mdb_sqla.consumers.handlers import BatchedHandler, Handler, HandlerBatch, is_async
from mdb_sqla.consumers.loop_operations import Handle
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork
from mdb_sqla.store.message_decoder import decoded
from mdb_sqla.words.message import StoredMessage

__all__ = ["begin_calls", "call", "call_async", "end_calls"]

# The consumer has checked the kind of each handler, which types can't express: hence the ignores.


def begin_calls(operation: Handle, session: Session) -> None:
    """Prepare the calls of an operation, if its handlers share a batch."""
    if (batch := _batch_of(operation)) is not None:
        with handler_errors():
            batch.begin(_each(operation), session)


def end_calls(operation: Handle, session: Session) -> None:
    """Complete the calls of an operation, and flush what they have changed."""
    if (batch := _batch_of(operation)) is not None:
        with handler_errors():
            batch.end(session)
    session.flush()


def _batch_of(operation: Handle) -> HandlerBatch | None:
    handler, _ = operation.calls[0]
    return handler.batch if isinstance(handler, BatchedHandler) else None


def _each(operation: Handle) -> Iterator[StoredMessage]:
    for _, message in operation.calls:
        operation.current = message
        yield message


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
    if isinstance(handler, BatchedHandler):
        # It needs no session.
        with handler_errors():
            handler(decoded(message), unit)
        return
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
