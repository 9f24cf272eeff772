"""The reads shared by the sync and the async message store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Subquery, bindparam, select, true

from mdb_sqla import functions, tables
from mdb_sqla.database.execution import WRITES, Database, dialect_of, execute, execute_raw
from mdb_sqla.store.message_decoder import fetch, from_rows, select_messages
from mdb_sqla.store.read_arguments import (
    CategoryFilters,
    category_names,
    checked_batch_size,
    checked_position,
    checked_text,
    common_arguments,
)
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import NO_STREAM, StreamName

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "JoinedRead",
    "last_message",
    "read_category",
    "read_messages",
    "read_stream",
    "read_up_to",
    "settled_position",
    "version",
]


_STREAM = select_messages(
    functions.get_stream_messages(
        bindparam("stream_name"),
        bindparam("position"),
        bindparam("batch_size"),
        bindparam("condition"),
    )
)

_OF_CATEGORY = functions.get_category_messages(
    bindparam("category"),
    bindparam("position"),
    bindparam("batch_size"),
    bindparam("correlation"),
    bindparam("consumer_group_member"),
    bindparam("consumer_group_size"),
    bindparam("condition"),
)

_OF_CATEGORIES = functions.get_messages(
    bindparam("categories"),
    bindparam("position"),
    bindparam("batch_size"),
    bindparam("correlation"),
    bindparam("consumer_group_member"),
    bindparam("consumer_group_size"),
    bindparam("condition"),
)

_CATEGORY = select_messages(_OF_CATEGORY)

_MESSAGES = select_messages(_OF_CATEGORIES)

_CATEGORY_UP_TO, _MESSAGES_UP_TO = (
    select_messages(found).where(found.c.global_position <= bindparam("up_to"))
    for found in (_OF_CATEGORY, _OF_CATEGORIES)
)

_SETTLED = select(functions.settled_position(bindparam("category")))

_LAST = select_messages(
    functions.get_last_stream_message(bindparam("stream_name"), bindparam("type"))
)

_VERSION = select(functions.stream_version(bindparam("stream_name")))


def read_stream(
    db: Database,
    stream_name: str,
    position: int,
    batch_size: int,
    condition: str | None,
) -> list[StoredMessage]:
    parameters = {
        "stream_name": StreamName(stream_name),
        "position": checked_position(position),
        "batch_size": checked_batch_size(batch_size),
        "condition": checked_text("condition", condition),
    }
    return fetch(db, _STREAM, parameters, tables.messages)


def read_category(
    db: Database,
    category: str,
    position: int,
    batch_size: int,
    **filters: Unpack[CategoryFilters],
) -> list[StoredMessage]:
    parameters = {
        "category": StreamName(category),
        **common_arguments(position, batch_size, **filters),
    }
    return fetch(db, _CATEGORY, parameters, tables.messages)


def read_messages(
    db: Database,
    categories: Iterable[str] | None,
    position: int,
    batch_size: int,
    **filters: Unpack[CategoryFilters],
) -> list[StoredMessage]:
    parameters = {
        "categories": category_names(categories),
        **common_arguments(position, batch_size, **filters),
    }
    return fetch(db, _MESSAGES, parameters, tables.messages)


class JoinedRead:
    """Reads messages together with one other row, in one statement.

    Args:
        row: a subquery that returns exactly one row; each read passes its parameters.
    """

    def __init__(self, row: Subquery) -> None:
        self._width = len(row.c)
        self._of_category, self._of_categories = (
            select_messages(messages, *row.c).select_from(row.outerjoin(messages, true()))
            for messages in (_OF_CATEGORY, _OF_CATEGORIES)
        )

    def read(
        self,
        db: Database,
        parameters: Mapping[str, Any],
        categories: Sequence[str],
        position: int,
        batch_size: int,
        **filters: Unpack[CategoryFilters],
    ) -> tuple[Sequence[Any], list[StoredMessage]]:
        """Return the row, and the messages of these categories, or of all if none are given.

        Messages that can't be decoded are returned undecoded; pass them to `decoded`. The engine
        for writes is used.
        """
        values = {**parameters, **common_arguments(position, batch_size, **filters)}
        if len(categories) == 1:
            statement = self._of_category
            values["category"] = StreamName(categories[0])
        else:
            statement = self._of_categories
            values["categories"] = category_names(categories) or None
        rows = execute_raw(db, statement, values, WRITES)
        row = rows[0][: self._width]
        found = [] if rows[0][self._width] is None else [each[self._width :] for each in rows]
        return row, from_rows(found, dialect_of(db), with_undecoded=True)


def read_up_to(
    db: Database,
    categories: Sequence[str],
    position: int,
    batch_size: int,
    up_to: int,
    **filters: Unpack[CategoryFilters],
) -> list[StoredMessage]:
    """Return messages of these categories, or of all if none are given, up to a position.

    Messages that can't be decoded are returned undecoded; pass them to `decoded`.
    """
    values = {"up_to": up_to, **common_arguments(position, batch_size, **filters)}
    if len(categories) == 1:
        statement = _CATEGORY_UP_TO
        values["category"] = StreamName(categories[0])
    else:
        statement = _MESSAGES_UP_TO
        values["categories"] = category_names(categories) or None
    return fetch(db, statement, values, tables.messages, with_undecoded=True)


def settled_position(db: Database, category: str | None) -> int:
    parameters = {"category": None if category is None else StreamName(category)}
    ((position,),) = execute(db, _SETTLED, parameters, tables.messages)
    settled: int = position
    return settled


def last_message(db: Database, stream_name: str, type: str | None) -> StoredMessage | None:  # noqa: A002
    parameters = {"stream_name": StreamName(stream_name), "type": checked_text("type", type)}
    messages = fetch(db, _LAST, parameters, tables.messages)
    return messages[0] if messages else None


def version(db: Database, stream_name: str) -> int:
    parameters = {"stream_name": StreamName(stream_name)}
    ((position,),) = execute(db, _VERSION, parameters, tables.messages)
    return NO_STREAM if position is None else position
