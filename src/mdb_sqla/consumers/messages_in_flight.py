"""Concurrent calls of handlers that have their effects elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mdb_sqla.consumers.handler_errors import HandlerErrors
from mdb_sqla.consumers.handlers import Handler
from mdb_sqla.consumers.loop_operations import ConnectionLost, Deliver, Failure
from mdb_sqla.consumers.recorded_operations import count_failure, process
from mdb_sqla.database.sqlstates import is_outage
from mdb_sqla.errors import Unavailable
from mdb_sqla.store.message_decoder import decoded
from mdb_sqla.telemetry import instrumentation
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import ordering_key

__all__ = ["deliver"]

_Calls = Sequence[tuple[Handler, StoredMessage]]


class _ProcessExit(Exception):
    """A handler ends the process."""


async def deliver(operation: Deliver) -> None:
    """Call the handlers of all messages that are not done yet. See `Deliver`.

    Raises:
        Exception: the error of a handler; `Unavailable` takes precedence over other errors.
        ConnectionLost: a database that a handler uses is unreachable.
        SystemExit, KeyboardInterrupt: a handler ends the process; the other handlers are cancelled.
    """
    failed: list[Failure] = []
    unavailable: list[Failure] = []
    exits: list[BaseException] = []
    cancelled: list[StoredMessage] = []
    found = instrumentation()

    def fail(message: StoredMessage, error: Exception) -> None:
        before = operation.failures.get(message.global_position)
        failure = Failure(message, error, 1 if before is None else before.attempts + 1)
        operation.failures[message.global_position] = failure
        if isinstance(error, Unavailable):
            unavailable.append(failure)
        else:
            failed.append(failure)
            count_failure(operation.consumer, message, error)

    async def call(chain: _Calls) -> None:
        for handler, message in chain:
            if unavailable:
                # This handler probably needs the same resource.
                return
            try:
                with process(found, operation.consumer, message), HandlerErrors():
                    # Types can't express that this handler takes no unit of work.
                    await handler(decoded(message))  # type: ignore[call-arg]
            except Exception as error:
                if is_outage(error):
                    unavailable.append(Failure(message, error, 0))
                    return
                fail(message, error)
                return
            except asyncio.CancelledError:
                cancelled.append(message)
                raise
            except (SystemExit, KeyboardInterrupt) as error:
                # asyncio would stop its loop at once, before the consumer has left its group.
                exits.append(error)
                raise _ProcessExit from error
            operation.done.add(message.id)
            operation.failures.pop(message.global_position, None)

    try:
        async with asyncio.TaskGroup() as tasks:
            for chain in _chains(operation):
                tasks.create_task(call(chain))
    except BaseExceptionGroup:
        if exits:
            raise exits[0] from None
        raise
    for message in cancelled:
        # The task group was not cancelled, and ignores tasks that handlers have cancelled.
        fail(message, RuntimeError("The handler cancelled its own task"))
    if failures := unavailable or failed:
        first = min(failures, key=lambda failure: failure.message.global_position)
        operation.current = first.message
        if is_outage(first.error):
            raise ConnectionLost(str(first.error)) from first.error
        raise first.error


def _chains(operation: Deliver) -> list[_Calls]:
    """Return the calls grouped by cardinal id; those of one id are made in order."""
    chains: dict[str, list[tuple[Handler, StoredMessage]]] = {}
    for handler, message in operation.calls:
        if message.id not in operation.done:
            key = ordering_key(message.stream_name)
            chains.setdefault(key, []).append((handler, message))
    return list(chains.values())
