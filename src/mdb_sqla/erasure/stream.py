"""The erasure of a stream."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, select

from mdb_sqla import functions
from mdb_sqla.database.execution import (
    WRITES,
    Database,
    check_isolation,
    connection_of,
    database,
    execute,
)
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.store.message_store import MessageStore
from mdb_sqla.wake_up.channel import ANY_CATEGORY
from mdb_sqla.wake_up.notifier import announce as notify
from mdb_sqla.words.argument_checks import flag, text
from mdb_sqla.words.message import Message
from mdb_sqla.words.stream_name import StreamName

__all__ = ["ERASED", "Erasure", "erase_stream"]

ERASED = "Erased"
"""The type of the message that announces an erasure on its stream."""

_ERASE = select(
    functions.erase_stream(bindparam("stream_name"), bindparam("reason"), bindparam("whole"))
)
_VERSION = select(functions.stream_version(bindparam("stream_name")))


@dataclass(frozen=True)
class Erasure:
    """What was erased of a stream.

    Attributes:
        stream_name: the stream.
        messages: the number of messages; 0 if there was nothing left to erase.
        first_global_position: the first of their global positions; None if there are none.
        last_global_position: the last of their global positions.
        announced: the position in the stream of the message that announces the erasure; None if
            there is none.
    """

    stream_name: str
    messages: int
    first_global_position: int | None
    last_global_position: int | None
    announced: int | None = None


def erase_stream(
    db: Database,
    stream_name: str,
    *,
    reason: str,
    whole: bool = False,
    announce: bool = False,
) -> Erasure:
    """Erase the contents of a stream's messages, or delete the whole stream.

    By default, the data of each message becomes an empty object, and its metadata
    `{"erased": true}`; the number of messages, their order, ids, types and times stay. Messages
    without data and metadata stay as they are. Consumers skip erased messages, except for handlers
    registered with `erased=True`. Dead letters of the stream lose their error texts and are queued
    for replay.

    If the `whole` stream is deleted, it continues at its next position, so `NO_STREAM` is still
    refused. Its dead letters are deleted. Consumers do not stop: the transaction of a handler that
    is running with one of the messages is rolled back.

    The erasure is logged in the table `deletions`. It takes effect when the transaction commits.
    Until then, writers to the stream wait. Erasing a stream again has no effect, except on what was
    written since. With an `AsyncSession` or an `AsyncConnection`, use its `run_sync`.

    Args:
        db: a session or connection in a transaction at READ COMMITTED, as the owner of the store.
        stream_name: the stream.
        reason: why, for the log.
        whole: whether to delete the messages.
        announce: whether to write a message of type `Erased`, without data, to the stream. All
            earlier messages of the stream are erased. Projections can delete their copies.

    Raises:
        InvalidArgument: the stream never had messages, an argument is invalid, or the isolation
            level is not READ COMMITTED.
        NotPermitted: the role is not the owner of the store.
        StoreNotInstalled: the database has no store, or the store is not up to date.
        TransactionConflict: retry the whole transaction.
    """
    db = database(db)
    # Accepts any stored name, such as `-7`, which another client may have written.
    name = text("stream_name", stream_name)
    if flag("announce", announce):
        name = StreamName(name)
    parameters = {
        "stream_name": name,
        "reason": text("reason", reason),
        "whole": flag("whole", whole),
    }
    check_isolation(connection_of(db), "Erasing a stream")
    row = execute(db, _ERASE, parameters, WRITES)[0]
    if not row.number and execute(db, _VERSION, {"stream_name": name}, WRITES)[0][0] is None:
        raise InvalidArgument(f"There is no stream {name}")
    announced = None
    if row.number:
        # Dead letters were queued for replay, or no longer block their stream.
        notify(connection_of(db), [ANY_CATEGORY])
        if announce:
            announced = MessageStore(db).write(name, Message(ERASED))
    return Erasure(name, row.number, row.first_global_position, row.last_global_position, announced)
