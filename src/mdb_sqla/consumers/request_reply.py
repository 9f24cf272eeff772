"""Asking by a message, and waiting for the reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import tables
from mdb_sqla.consumers.operations import Interrupted, Pause, Step, Transact
from mdb_sqla.consumers.runners import AsyncRunner, Runner
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.errors import NoReply
from mdb_sqla.store import reads, writes
from mdb_sqla.words.argument_checks import instance, seconds
from mdb_sqla.words.message import Message, StoredMessage
from mdb_sqla.words.stream_name import StreamName

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = ["request", "request_async", "wait_for_reply", "wait_for_reply_async"]

_TIMEOUT = 10.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.25  # seconds between two looks, doubled each time

_Replying = Generator[Step, Any, StoredMessage]


def request(
    factory: sessionmaker[Session], stream_name: str, message: Message, timeout: float = _TIMEOUT
) -> StoredMessage:
    """Write a message that asks for a reply, commit it, and wait for the reply.

    The reply comes to a stream of its own, `account:reply-<id of the message>` for a message to
    `account:command-1`. The handler writes it with `Message.reply`. Where the message is lost while
    the reply is awaited, as by a failover to a standby that lacked it, it is written again.

    Args:
        factory: what makes a session for each transaction.
        stream_name: the stream to write to.
        message: what is written.
        timeout: for how many seconds to wait, from the call on. A statement that the server holds
            up, as while another transaction has the lock that it needs, is waited for beyond that.

    Returns:
        The reply.

    Raises:
        NoReply: there was none in time, or the database could not be reached for as long.
        Refusal: the server refused the message.
    """
    return Runner(factory).run(_request(stream_name, message, timeout))


async def request_async(
    factory: async_sessionmaker[AsyncSession],
    stream_name: str,
    message: Message,
    timeout: float = _TIMEOUT,
) -> StoredMessage:
    """Do the same in a task. See `request`."""
    return await AsyncRunner(factory).run(_request(stream_name, message, timeout))


def wait_for_reply(
    factory: sessionmaker[Session], stream_name: str, timeout: float = _TIMEOUT
) -> StoredMessage:
    """Wait for the first message of a stream.

    It is the reply to a message that was written in a transaction of the application's, with
    `Message.with_reply_stream`, and that is committed.

    Args:
        factory: what makes a session for each look.
        stream_name: the reply stream.
        timeout: for how many seconds to wait.

    Raises:
        NoReply: there was none in time, or the database could not be reached for as long.
    """
    return Runner(factory).run(_wait(StreamName(stream_name), _deadline(timeout), timeout))


async def wait_for_reply_async(
    factory: async_sessionmaker[AsyncSession],
    stream_name: str,
    timeout: float = _TIMEOUT,
) -> StoredMessage:
    """Do the same in a task. See `wait_for_reply`."""
    steps = _wait(StreamName(stream_name), _deadline(timeout), timeout)
    return await AsyncRunner(factory).run(steps)


def _request(stream_name: str, message: Message, timeout: float) -> _Replying:
    deadline = _deadline(timeout)
    name = StreamName(stream_name)
    message = instance("What is written", message, Message)
    reply_stream = StreamName.build(name.entity, message.id, types="reply")
    asking = message.with_reply_stream(reply_stream)

    def write(session: Session) -> None:
        writes.write(session, name, asking, expected_version=None, idempotent=True)

    def write_if_lost(session: Session) -> None:
        column = tables.messages.c.id
        if not execute(session, select(column).where(column == message.id), {}, WRITES):
            write(session)

    # Again where it is not known whether it was committed: the same id is not written twice.
    yield from _until_done(Transact(write), reply_stream, deadline, timeout)
    return (yield from _wait(reply_stream, deadline, timeout, write_if_lost))


def _wait(
    stream_name: StreamName,
    deadline: float,
    timeout: float,
    ask_again: Callable[[Session], None] | None = None,
) -> _Replying:
    pause = _FIRST_PAUSE

    def look(session: Session) -> list[StoredMessage]:
        found = reads.read_stream(session, stream_name, 0, 1, None)
        # After a while: a standby that lacked the message may have replaced the server.
        if not found and ask_again is not None and pause == _LONGEST_PAUSE:
            ask_again(session)
        return found

    while True:
        found: list[StoredMessage]
        found = yield from _until_done(Transact(look), stream_name, deadline, timeout)
        if found:
            return found[0]
        left = deadline - time.monotonic()
        if left <= 0:
            raise NoReply(stream_name, timeout)
        yield Pause(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _until_done(
    step: Step, stream_name: StreamName, deadline: float, timeout: float
) -> Generator[Step, Any, Any]:
    """Do a step, again and again while the server is away."""
    while True:
        try:
            return (yield step)
        except Interrupted as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoReply(stream_name, timeout) from error
        yield Pause(min(_LONGEST_PAUSE, left))


def _deadline(timeout: float) -> float:
    return time.monotonic() + seconds("timeout", timeout)
