"""The reads of a message store, written once for the sync and the async store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from sqlalchemy import Subquery, bindparam, select, true

from mdb_sqla import functions, tables
from mdb_sqla.database.execution import WRITES, Database, dialect_of, execute, execute_raw
from mdb_sqla.errors import InvalidArgument, UndecodableMessage
from mdb_sqla.store.message_decoder import fetch, from_rows, select_messages
from mdb_sqla.words.argument_checks import described, is_storable, plain
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import NO_STREAM, StreamName, category_name

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "DEFAULT_BATCH_SIZE",
    "CategoryFilters",
    "Pages",
    "ReadBeside",
    "category_pages",
    "checked_filters",
    "last_message",
    "message_pages",
    "read_category",
    "read_messages",
    "read_stream",
    "settled_position",
    "stream_pages",
    "version",
]

DEFAULT_BATCH_SIZE = 1000


_GROUP = {"consumer_group_member", "consumer_group_size"}

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

_SETTLED = select(functions.settled_position(bindparam("category")))

_LAST = select_messages(
    functions.get_last_stream_message(bindparam("stream_name"), bindparam("type"))
)

_VERSION = select(functions.stream_version(bindparam("stream_name")))


class CategoryFilters(TypedDict, total=False):
    """What narrows the messages that are read of a category, of several, or of all.

    - `correlation`: only messages whose `correlationStreamName` is of this category.
    - `consumer_group_member`, from 0, and `consumer_group_size`: only messages that fall to this
      member of a group of this size, by the cardinal id of their stream.
    - `condition`: only messages for which this SQL expression over the columns of `messages` is
      true; the setting `message_store.sql_condition` must be `on`.
    """

    correlation: str | None
    consumer_group_member: int | None
    consumer_group_size: int | None
    condition: str | None


def read_stream(
    db: Database,
    stream_name: str,
    position: int,
    batch_size: int,
    condition: str | None,
) -> list[StoredMessage]:
    parameters = {
        "stream_name": StreamName(stream_name),
        "position": _position(position),
        "batch_size": _batch_size(batch_size),
        "condition": _text("condition", condition),
    }
    return fetch(db, _STREAM, parameters, tables.messages)


def read_category(
    db: Database,
    category: str,
    position: int,
    batch_size: int,
    **filters: Unpack[CategoryFilters],
) -> list[StoredMessage]:
    parameters = {"category": StreamName(category), **_common(position, batch_size, **filters)}
    return fetch(db, _CATEGORY, parameters, tables.messages)


def read_messages(
    db: Database,
    categories: Iterable[str] | None,
    position: int,
    batch_size: int,
    **filters: Unpack[CategoryFilters],
) -> list[StoredMessage]:
    parameters = {
        "categories": _categories(categories),
        **_common(position, batch_size, **filters),
    }
    return fetch(db, _MESSAGES, parameters, tables.messages)


class ReadBeside:
    """Reads messages, and in the same statement one row of something else.

    Args:
        row: what has exactly one row; its parameters are passed to each read.
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
        """Return the row, and the messages of these categories, or of all where there is none.

        Those that can't be decoded are among them, for `decoded`. The engine is the one that
        messages are written with.
        """
        values = {**parameters, **_common(position, batch_size, **filters)}
        if len(categories) == 1:
            statement = self._of_category
            values["category"] = StreamName(categories[0])
        else:
            statement = self._of_categories
            values["categories"] = _categories(categories) or None
        rows = execute_raw(db, statement, values, WRITES)
        row = rows[0][: self._width]
        found = [] if rows[0][self._width] is None else [each[self._width :] for each in rows]
        return row, from_rows(found, dialect_of(db), with_undecoded=True)


def settled_position(db: Database, category: str | None) -> int:
    parameters = {"category": None if category is None else StreamName(category)}
    ((position,),) = execute(db, _SETTLED, parameters, tables.messages)
    settled: int = position
    return settled


def last_message(db: Database, stream_name: str, type: str | None) -> StoredMessage | None:  # noqa: A002
    parameters = {"stream_name": StreamName(stream_name), "type": _text("type", type)}
    messages = fetch(db, _LAST, parameters, tables.messages)
    return messages[0] if messages else None


def version(db: Database, stream_name: str) -> int:
    parameters = {"stream_name": StreamName(stream_name)}
    ((position,),) = execute(db, _VERSION, parameters, tables.messages)
    return NO_STREAM if position is None else position


class Pages:
    """A read that continues where the last batch ended; it holds one batch at a time."""

    def __init__(
        self,
        read: Callable[[Database, int], list[StoredMessage]],
        position_of: Callable[[StoredMessage], int],
        position: int,
        batch_size: int,
    ) -> None:
        if batch_size == -1:
            raise InvalidArgument("batch_size must be at least 1 for an iterator: -1")
        self._read = read
        self._position_of = position_of
        self._position = _position(position)
        self._batch_size = _batch_size(batch_size)
        self._ended = False
        self._error: UndecodableMessage | None = None

    def next(self, db: Database) -> list[StoredMessage]:
        """Return the next batch; it is empty when there is nothing more.

        Raises:
            UndecodableMessage: the next message can't be decoded; all before it were returned.
        """
        if self._error is not None:
            raise self._error
        if self._ended:
            return []
        try:
            page = self._read(db, self._position)
        except UndecodableMessage as error:
            if not error.before:
                raise
            self._error = error
            return error.before
        self._ended = len(page) < self._batch_size
        if page:
            self._position = self._position_of(page[-1]) + 1
        return page


def stream_pages(stream_name: str, position: int, batch_size: int, condition: str | None) -> Pages:
    name = StreamName(stream_name)

    def read(db: Database, position: int) -> list[StoredMessage]:
        return read_stream(db, name, position, batch_size, condition)

    return Pages(read, lambda message: message.position, position, batch_size)


def category_pages(
    category: str, position: int, batch_size: int, filters: CategoryFilters
) -> Pages:
    name = StreamName(category)

    def read(db: Database, position: int) -> list[StoredMessage]:
        return read_category(db, name, position, batch_size, **filters)

    return Pages(read, lambda message: message.global_position, position, batch_size)


def message_pages(
    categories: Iterable[str] | None, position: int, batch_size: int, filters: CategoryFilters
) -> Pages:
    names = _categories(categories)

    def read(db: Database, position: int) -> list[StoredMessage]:
        return read_messages(db, names, position, batch_size, **filters)

    return Pages(read, lambda message: message.global_position, position, batch_size)


def _common(position: int, batch_size: int, **filters: Unpack[CategoryFilters]) -> dict[str, Any]:
    return {
        "position": _position(position),
        "batch_size": _batch_size(batch_size),
        **_filters(**filters),
    }


def _filters(
    *,
    correlation: str | None = None,
    consumer_group_member: int | None = None,
    consumer_group_size: int | None = None,
    condition: str | None = None,
) -> dict[str, Any]:
    return {
        "correlation": None if correlation is None else StreamName(correlation),
        "consumer_group_member": _int64("consumer_group_member", consumer_group_member),
        "consumer_group_size": _int64("consumer_group_size", consumer_group_size),
        "condition": _text("condition", condition),
    }


def checked_filters(filters: CategoryFilters) -> CategoryFilters:
    """Return filters as the server takes them, for what reads with them later.

    Raises:
        InvalidArgument: a value breaks its rule.
        TypeError: there is no such filter.
    """
    for name in filters.keys() - CategoryFilters.__annotations__.keys():
        raise TypeError(f"got an unexpected keyword argument {name!r}")
    correlation = filters.get("correlation")
    if correlation is not None:
        category_name(correlation)
    values = {key: value for key, value in _filters(**filters).items() if value is not None}
    if _GROUP & values.keys():
        member, size = (values.get(name) for name in sorted(_GROUP))
        if member is None or size is None or not 0 <= member < size:
            raise InvalidArgument(
                "consumer_group_member must be an integer from 0 to less than consumer_group_size: "
                f"{member!r} of {size!r}"
            )
    return values  # type: ignore[return-value]  # by their names


def _categories(categories: Iterable[str] | None) -> list[str] | None:
    if categories is None:
        return None
    if isinstance(categories, str) or not isinstance(categories, Iterable):
        raise InvalidArgument(
            f"categories must be names of categories, or None for all: {described(categories)}"
        )
    return [StreamName(category) for category in categories]


def _text(name: str, value: str | None) -> str | None:
    if value is not None and (not isinstance(value, str) or not is_storable(value)):
        raise InvalidArgument(
            f"{name} must be a string without NUL and surrogates: {described(value)}"
        )
    return None if value is None else plain(value)


def _int64(name: str, value: int | None) -> int | None:
    if value is not None and not (_is_integer(value) and -(2**63) <= value < 2**63):
        raise InvalidArgument(f"{name} must be a 64-bit integer: {described(value)}")
    return None if value is None else int(value)


def _position(value: int) -> int:
    if not (_is_integer(value) and 0 <= value < 2**63):
        raise InvalidArgument(f"position must be an integer from 0 to 2^63 - 1: {described(value)}")
    return int(value)


def _batch_size(value: int) -> int:
    if not (_is_integer(value) and (value == -1 or 1 <= value < 2**63)):
        raise InvalidArgument(
            f"batch_size must be an integer of at least 1, or -1 for no limit: {described(value)}"
        )
    return int(value)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
