"""Calls handlers side by side whose effects are elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mdb_sqla.consumers.handler_errors import handler_errors
from mdb_sqla.consumers.handlers import Handler
from mdb_sqla.consumers.operations import CutOff, Deliver, Failure
from mdb_sqla.database.server_errors import is_outage
from mdb_sqla.errors import Unavailable
from mdb_sqla.store.message_decoder import decoded
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import ordering_key

__all__ = ["deliver"]

_Calls = Sequence[tuple[Handler, StoredMessage]]


class _Ending(Exception):
    """A handler ends the process."""


async def deliver(step: Deliver) -> None:
    """Call the handlers of what is not done yet; see `Deliver`.

    Raises:
        Exception: what a handler raised. That something is away comes before other errors.
        CutOff: a database that a handler works with is away.
        SystemExit, KeyboardInterrupt: a handler ends the process; the others are cancelled.
    """
    failed: list[Failure] = []
    away: list[Failure] = []
    ending: list[BaseException] = []

    async def call(chain: _Calls) -> None:
        for handler, message in chain:
            if away:
                # It is what this one needs as well.
                return
            position = message.global_position
            try:
                with handler_errors():
                    # Types can't tell that it takes no unit of work; the consumer says so.
                    await handler(decoded(message))  # type: ignore[call-arg]
            except Exception as error:
                if is_outage(error):
                    away.append(Failure(message, error, 0))
                    return
                before = step.failures.get(position)
                attempts = 1 if before is None else before.attempts + 1
                step.failures[position] = Failure(message, error, attempts)
                failures = away if isinstance(error, Unavailable) else failed
                failures.append(step.failures[position])
                return
            except (SystemExit, KeyboardInterrupt) as error:
                # asyncio would end its loop at once, before the consumer has left its group.
                ending.append(error)
                raise _Ending from error
            step.done.add(message.id)
            step.failures.pop(position, None)

    try:
        async with asyncio.TaskGroup() as tasks:
            for chain in _chains(step):
                tasks.create_task(call(chain))
    except BaseExceptionGroup:
        if ending:
            raise ending[0] from None
        raise
    if failures := away or failed:
        first = min(failures, key=lambda failure: failure.message.global_position)
        step.current = first.message
        if is_outage(first.error):
            raise CutOff(str(first.error)) from first.error
        raise first.error


def _chains(step: Deliver) -> list[_Calls]:
    """Return what is to be called one after another: what is of one cardinal id."""
    chains: dict[str, list[tuple[Handler, StoredMessage]]] = {}
    for handler, message in step.calls:
        if message.id not in step.done:
            key = ordering_key(message.stream_name)
            chains.setdefault(key, []).append((handler, message))
    return list(chains.values())
