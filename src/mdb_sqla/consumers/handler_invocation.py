"""Calls of handlers with their unit of work."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial

from sqlalchemy.orm import Session

from mdb_sqla.consumers.handler_errors import HandlerErrors
from mdb_sqla.consumers.handler_transaction import HandlerTransaction
from mdb_sqla.consumers.handlers import BatchedHandler, Handler, HandlerBatch, is_async
from mdb_sqla.consumers.loop_operations import Handle
from mdb_sqla.consumers.recorded_operations import process
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork
from mdb_sqla.store.message_decoder import decoded
from mdb_sqla.telemetry import instrumentation
from mdb_sqla.words.message import StoredMessage

__all__ = ["call_all", "call_all_async"]

# The consumer has checked the kind of each handler, which types can't express: hence the ignores.


def call_all(operation: Handle, unit: UnitOfWork, transaction: HandlerTransaction) -> None:
    """Call the handlers of an operation in a thread, and flush what they have changed.

    Raises:
        InvalidArgument: a handler has ended the transaction, or returned an awaitable.
    """
    if (batch := _batch_of(operation)) is not None:
        _call_batch(batch, operation, unit.session)
        return
    found, last = instrumentation(), operation.calls[-1][1]
    for handler, message in operation.calls:
        operation.current = message
        with process(found, operation.consumer, message):
            _call(handler, message, unit)
            transaction.check()
            if message is last:
                unit.session.flush()


async def call_all_async(
    operation: Handle, unit: AsyncUnitOfWork, transaction: HandlerTransaction
) -> None:
    """Call sync or async handlers in a task. See `call_all`."""
    if (batch := _batch_of(operation)) is not None:
        await unit.session.run_sync(partial(_call_batch, batch, operation))
        return
    found, last = instrumentation(), operation.calls[-1][1]
    for handler, message in operation.calls:
        operation.current = message
        with process(found, operation.consumer, message):
            await _call_async(handler, message, unit)
            transaction.check()
            if message is last:
                await unit.session.flush()


def _batch_of(operation: Handle) -> HandlerBatch | None:
    handler, _ = operation.calls[0]
    return handler.batch if isinstance(handler, BatchedHandler) else None


def _call_batch(batch: HandlerBatch, operation: Handle, session: Session) -> None:
    found = instrumentation()
    with HandlerErrors():
        batch.begin(_each(operation), session)
        for message in _each(operation):
            if found is None:
                batch.handle(message)
            else:
                with process(found, operation.consumer, message):
                    batch.handle(message)
        batch.end(session)


def _each(operation: Handle) -> Iterator[StoredMessage]:
    for _, message in operation.calls:
        operation.current = message
        yield decoded(message)


def _call(handler: Handler, message: StoredMessage, unit: UnitOfWork) -> None:
    """Call a handler in a thread, or in the greenlet of an async session.

    Raises:
        InvalidArgument: the handler returned an awaitable.
    """
    with HandlerErrors():
        # Types can't express which kind of handler this is.
        _check_result(handler, handler(decoded(message), unit))  # type: ignore[arg-type, call-arg]


async def _call_async(handler: Handler, message: StoredMessage, unit: AsyncUnitOfWork) -> None:
    """Call a sync or async handler in a task. See `_call`."""
    if not is_async(handler):
        # The handler gets the sync session of the same transaction.
        await unit.session.run_sync(
            lambda session: _call(handler, message, UnitOfWork.of(session, types=unit._types))
        )
        return
    with HandlerErrors():
        # See `_call`.
        await handler(decoded(message), unit)  # type: ignore[arg-type, call-arg]


def _check_result(handler: Handler, result: object) -> None:
    if result is not None and inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise InvalidArgument(
            f"Handler {handler!r} returned an awaitable; declare async handlers with `async def`, "
            "and run the consumer with `await consumer.run_async(...)`"
        )
