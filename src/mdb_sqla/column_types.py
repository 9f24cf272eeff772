"""Column types for values that the server functions return as text or without a time zone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, case, func, literal_column, type_coerce
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.types import TypeDecorator

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described, is_storable, plain

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

__all__ = [
    "Instant",
    "JSONText",
    "UTCDateTime",
    "UUIDText",
    "fits_datetime",
    "json_deserializer",
    "json_serializer",
    "normalized",
    "time_column",
    "uuid_of",
]


_TIMESTAMP = TIMESTAMP(timezone=False)

# SQLAlchemy stores the engine's `json_serializer` and `json_deserializer` as private attributes of
# the dialect. Its type JSON can't be used for text columns with psycopg, because it expects the
# driver to decode JSON.


def json_serializer(dialect: Dialect) -> Callable[[Any], str]:
    """Return the engine's JSON serializer, with a check that PostgreSQL can store the text.

    In addition to its own errors, the serializer raises `ValueError` for NUL and surrogates, and
    `TypeError` if it would return neither text nor bytes.
    """
    serialize: Callable[[Any], Any] = getattr(dialect, "_json_serializer", None) or json.dumps

    def text_of(value: Any) -> str:
        text = serialize(value)
        # Some serializers, such as orjson's, return bytes.
        if isinstance(text, bytes | bytearray | memoryview):
            text = str(text, "utf-8")
        elif not isinstance(text, str):
            raise TypeError(
                f"the engine's json_serializer must return a string or bytes, got {described(text)}"
            )
        if not is_storable(text):
            raise ValueError("PostgreSQL can't store NUL or surrogate characters")
        return plain(text)

    return text_of


def json_deserializer(dialect: Dialect) -> Callable[[str], Any]:
    """Return the engine's JSON deserializer."""
    deserializer: Callable[[str], Any] | None = getattr(dialect, "_json_deserializer", None)
    return deserializer or json.loads


_CODEC = (
    "The driver must return {} as {} or ISO text, but a codec or loader of the application "
    "returned {}"
)


class JSONText(TypeDecorator[Any]):
    """JSON that the server returns as text and the engine's deserializer decodes."""

    impl = Text
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], Any]:
        """Return a function that decodes the text; None stays None."""
        deserialize = json_deserializer(dialect)

        def process(value: str | None) -> Any:
            return None if value is None else deserialize(value)

        return process


class UUIDText(TypeDecorator[UUID]):
    """A UUID that the server returns as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> str | None:
        """Return the UUID as text."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> UUID | None:
        """Return the UUID."""
        return None if value is None else UUID(value)


class UTCDateTime(TypeDecorator[datetime]):
    """A timestamp without time zone in UTC, as an aware `datetime`."""

    impl = TIMESTAMP(timezone=False)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC, without its zone.

        Raises:
            ValueError: the time has no zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time must have a time zone, got {value!r}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time with its zone."""
        return None if value is None else _utc(value)


class Instant(TypeDecorator[datetime]):
    """A timestamp with time zone, as an aware `datetime` in UTC.

    It is selected without its time zone, because psycopg decodes time zones only with an ISO
    `DateStyle`.
    """

    impl = TIMESTAMP(timezone=True)
    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the expression to select."""
        return type_coerce(func.pg_catalog.timezone(literal_column("'utc'"), column), self)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time with its zone."""
        return None if value is None else _utc(value)


def fits_datetime(time: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return an expression: whether a time fits into `datetime`, unlike infinity or some years."""
    first, last = (
        f"timestamp '{day}'" for day in ("0001-01-01 00:00", "9999-12-31 23:59:59.999999")
    )
    plain: ColumnElement[Any] = type_coerce(time, _TIMESTAMP)
    return plain.between(literal_column(first, _TIMESTAMP), literal_column(last, _TIMESTAMP))


def time_column(time: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return an expression: a time that drivers can decode, or NULL if they would fail."""
    return case((fits_datetime(time), type_coerce(time, _TIMESTAMP)))


def normalized(rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """Convert the first column of rows to UUIDs, and the last to `datetime`s without zone, or None.

    Raises:
        InvalidArgument: a codec of the application returns values that can't be converted.
    """
    # All rows have the same types.
    row = next((row for row in rows if row[-1] is not None), None)
    if row is None:
        return [(uuid_of(id_), *others) for id_, *others in rows]
    id_, *_, time = row
    if isinstance(id_, UUID) and type(time) is datetime and time.tzinfo is None:
        return rows
    return [
        (uuid_of(id_), *between, time if time is None else _utc(time).replace(tzinfo=None))
        for id_, *between, time in rows
    ]


def _utc(value: Any) -> datetime:
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if value.tzinfo is not None:
            value = value.astimezone(UTC)
        # Several times as fast as `value.replace(tzinfo=UTC)`.
        return datetime.combine(value, value.time(), UTC)
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidArgument(_CODEC.format("timestamps", "datetime", described(value))) from error


def uuid_of(value: Any) -> UUID:
    """Convert a value that a driver returned to a UUID.

    Raises:
        InvalidArgument: a codec of the application returns values that can't be converted.
    """
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidArgument(_CODEC.format("UUIDs", "UUID", described(value))) from error
