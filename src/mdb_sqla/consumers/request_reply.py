"""Request and reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import tables
from mdb_sqla.consumers.loop_operations import Interrupted, Operation, Pause, Transact
from mdb_sqla.consumers.runners import AsyncRunner, Runner
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.errors import NoReply
from mdb_sqla.store import read_statements, writes
from mdb_sqla.store.write_arguments import WriteOptions
from mdb_sqla.words.argument_checks import instance, seconds
from mdb_sqla.words.message import Message, StoredMessage
from mdb_sqla.words.stream_name import StreamName

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = ["request", "request_async", "wait_for_reply", "wait_for_reply_async"]

_TIMEOUT = 10.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.25  # seconds between two polls, doubled each time

_ReplyRoutine = Generator[Operation, Any, StoredMessage]


def request(
    factory: sessionmaker[Session], stream_name: str, message: Message, timeout: float = _TIMEOUT
) -> StoredMessage:
    """Write a request, commit it, and wait for the reply.

    The reply has its own stream: for a request to `account:command-1`, it is
    `account:reply-<id of the request>`. The handler writes the reply with `Message.reply`. If the
    request is lost in the meantime, for example by a failover to a standby that lacks it, it is
    written again.

    Args:
        factory: creates a session for each transaction.
        stream_name: the stream to write to.
        message: the request.
        timeout: the timeout in seconds. A statement that waits for a lock can exceed it.

    Returns:
        The reply.

    Raises:
        NoReply: there was no reply before the timeout, or the database was unreachable until then.
        Refusal: the server rejected the message.
        InvalidArgument: an argument is invalid.
    """
    return Runner(factory).run(_request(stream_name, message, timeout))


async def request_async(
    factory: async_sessionmaker[AsyncSession],
    stream_name: str,
    message: Message,
    timeout: float = _TIMEOUT,
) -> StoredMessage:
    """Write a request, commit it, and wait for the reply, in a task. See `request`."""
    return await AsyncRunner(factory).run(_request(stream_name, message, timeout))


def wait_for_reply(
    factory: sessionmaker[Session], stream_name: str, timeout: float = _TIMEOUT
) -> StoredMessage:
    """Wait for the first message of a reply stream.

    Use it if you have written and committed the request yourself, with a reply stream set by
    `Message.with_reply_stream`.

    Args:
        factory: creates a session for each poll.
        stream_name: the reply stream.
        timeout: the timeout in seconds.

    Returns:
        The reply.

    Raises:
        NoReply: there was no reply before the timeout, or the database was unreachable until then.
        InvalidArgument: an argument is invalid.
    """
    return Runner(factory).run(_wait(StreamName(stream_name), _deadline(timeout), timeout))


async def wait_for_reply_async(
    factory: async_sessionmaker[AsyncSession],
    stream_name: str,
    timeout: float = _TIMEOUT,
) -> StoredMessage:
    """Wait for the first message of a reply stream, in a task. See `wait_for_reply`."""
    operations = _wait(StreamName(stream_name), _deadline(timeout), timeout)
    return await AsyncRunner(factory).run(operations)


def _request(stream_name: str, message: Message, timeout: float) -> _ReplyRoutine:
    deadline = _deadline(timeout)
    name = StreamName(stream_name)
    message = instance("message", message, Message)
    reply_stream = StreamName.build(name.entity, message.id, types="reply")
    written = message.with_reply_stream(reply_stream)

    def write(session: Session) -> None:
        writes.write(session, name, written, WriteOptions(), idempotent=True)

    def write_if_lost(session: Session) -> None:
        column = tables.messages.c.id
        if not execute(session, select(column).where(column == message.id), {}, WRITES):
            write(session)

    # Retried even if the outcome of the commit is unknown: the same id is not written twice.
    yield from _until_done(Transact(write), reply_stream, deadline, timeout)
    return (yield from _wait(reply_stream, deadline, timeout, write_if_lost))


def _wait(
    stream_name: StreamName,
    deadline: float,
    timeout: float,
    repeat_request: Callable[[Session], None] | None = None,
) -> _ReplyRoutine:
    pause = _FIRST_PAUSE

    def poll(session: Session) -> list[StoredMessage]:
        found = read_statements.read_stream(session, stream_name, 0, 1, None)
        # Only after a while: a standby that lacks the request may have been promoted.
        if not found and repeat_request is not None and pause == _LONGEST_PAUSE:
            repeat_request(session)
        return found

    while True:
        found: list[StoredMessage]
        found = yield from _until_done(Transact(poll), stream_name, deadline, timeout)
        if found:
            return found[0]
        left = deadline - time.monotonic()
        if left <= 0:
            raise NoReply(stream_name, timeout)
        yield Pause(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _until_done(
    operation: Operation, stream_name: StreamName, deadline: float, timeout: float
) -> Generator[Operation, Any, Any]:
    """Yield an operation, and retry it while the server is unavailable."""
    while True:
        try:
            return (yield operation)
        except Interrupted as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoReply(stream_name, timeout) from error
        yield Pause(min(_LONGEST_PAUSE, left))


def _deadline(timeout: float) -> float:
    return time.monotonic() + seconds("timeout", timeout)
