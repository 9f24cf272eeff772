"""The class of a projection's rows, and the table whose columns its fields are."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import decimal
import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from operator import attrgetter, itemgetter
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Column, Table
from sqlalchemy import inspect as mapper_of
from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeDecorator

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described, name_of

__all__ = ["RowMapping", "Values"]

_R = TypeVar("_R")

Values = tuple[Any, ...]
"""The values of a row, in the order of `RowMapping.columns`."""

_IMMUTABLE = (
    str, int, float, bool, bytes, decimal.Decimal, datetime.date, datetime.time,
    datetime.timedelta, UUID, Enum,
)  # fmt: skip


class RowMapping(Generic[_R]):
    """Converts rows of a table into instances of a class, and back.

    Args:
        row: a dataclass, or a class that SQLAlchemy maps to the table.
        table: the table; for a mapped class, its own by default.

    Attributes:
        table: the table.
        columns: the columns that the class has fields for.
        key: the columns of the primary key.

    Raises:
        InvalidArgument: the fields are not the columns of the table, or it has no primary key.
    """

    def __init__(self, row: type[_R], table: object) -> None:
        if not isinstance(row, type):
            raise InvalidArgument(f"row must be a class, got {described(row)}")
        mapper = mapper_of(row, raiseerr=False)
        if isinstance(mapper, Mapper):
            self.table, fields = _of_mapped_class(row, mapper, table)
        else:
            self.table, fields = _of_dataclass(row, table)
        self.row = row
        self.columns: tuple[Column[Any], ...] = tuple(fields.values())
        self.key: tuple[Column[Any], ...] = tuple(self.table.primary_key.columns)
        self._fields = tuple(fields)
        self._check_columns()
        self._manager = mapper.class_manager if isinstance(mapper, Mapper) else None
        self._values = _getter(self._fields)
        self._loaded_values = _item_getter(self._fields)
        names = {column.key: name for name, column in fields.items()}
        self._key = attrgetter(*(names[column.key] for column in self.key))
        # The handlers may change what the values contain.
        self._copy: Callable[[Values], Values] = (
            copy.deepcopy if any(map(_may_change, self.columns)) else _same
        )

    def make(self, values: Sequence[Any]) -> _R:
        """Return an instance with the values of a row."""
        if self._manager is None:
            return self.row(**dict(zip(self._fields, values, strict=True)))
        # As SQLAlchemy does when it loads a row: without the constructor, and much faster.
        row: _R = self._manager.new_instance()
        row.__dict__.update(zip(self._fields, values, strict=True))
        return row

    def values(self, row: _R) -> Values:
        """Return the values of an instance."""
        if self._manager is not None:
            # The attributes of a mapped class are slow.
            with suppress(KeyError):
                return self._loaded_values(row.__dict__)
        return self._values(row)

    def snapshot(self, row: _R) -> Values:
        """Return a copy of the values of an instance, which don't change with it."""
        return self._copy(self.values(row))

    def key_of(self, row: _R) -> Any:
        """Return the primary key of an instance: a value, or a tuple if it has several columns."""
        return self._key(row)

    def _check_columns(self) -> None:
        name = self.table.fullname
        if not self.key:
            raise InvalidArgument(f"Table {name} has no primary key, which a projection requires")
        if missing := [column.name for column in self.key if column not in set(self.columns)]:
            raise InvalidArgument(
                f"{name_of(self.row)} has no field for the column {missing[0]!r}, part of the "
                f"primary key of table {name}"
            )
        for column in self.table.columns:
            if column not in set(self.columns) and not _has_value(column):
                raise InvalidArgument(
                    f"{name_of(self.row)} has no field for the column {column.name!r} of table "
                    f"{name}, which is NOT NULL and has no server default"
                )


def _of_mapped_class(
    row: type, mapper: Mapper[Any], table: object
) -> tuple[Table, dict[str, Column[Any]]]:
    own = mapper.local_table
    if not isinstance(own, Table) or table not in (None, own, row):
        raise InvalidArgument(
            f"{name_of(row)} is mapped to {own}, not to {described(table)}: leave out table"
        )
    fields = {
        attribute.key: attribute.columns[0]
        for attribute in mapper.column_attrs
        if isinstance(attribute.columns[0], Column) and attribute.columns[0].table is own
    }
    try:
        inspect.signature(row).bind(**fields)
    except TypeError as error:
        raise InvalidArgument(
            f"{name_of(row)} can't be created from the columns of its table: {error}"
        ) from error
    return own, fields


def _of_dataclass(row: type, table: object) -> tuple[Table, dict[str, Column[Any]]]:
    mapped = mapper_of(table, raiseerr=False) if isinstance(table, type) else None
    found = mapped.local_table if isinstance(mapped, Mapper) else table
    if not isinstance(found, Table):
        raise InvalidArgument(
            f"table must be a Table or a mapped class with one table, got {described(table)}"
        )
    if not dataclasses.is_dataclass(row):
        raise InvalidArgument(
            f"row must be a dataclass or a mapped class, got {name_of(row)}, which is neither"
        )
    names: list[str] = []
    for field in dataclasses.fields(row):
        if field.name not in found.columns:
            known = ", ".join(found.columns.keys())
            raise InvalidArgument(
                f"{name_of(row)} has the field {field.name!r}, which is no column of table "
                f"{found.fullname}; its columns are {known}"
            )
        if not field.init:
            raise InvalidArgument(
                f"The field {field.name!r} of {name_of(row)} has init=False; a row is created from "
                "all of its columns"
            )
        names.append(field.name)
    return found, {name: found.columns[name] for name in names}


def _getter(names: Sequence[str]) -> Callable[[Any], Values]:
    get: Callable[[Any], Any] = attrgetter(*names)
    return get if len(names) > 1 else lambda row: (get(row),)


def _item_getter(names: Sequence[str]) -> Callable[[dict[str, Any]], Values]:
    get: Callable[[Any], Any] = itemgetter(*names)
    return get if len(names) > 1 else lambda values: (get(values),)


def _has_value(column: Column[Any]) -> bool:
    """Return whether PostgreSQL has a value for a column that is left out of an INSERT."""
    return bool(
        column.nullable
        or column.server_default is not None
        or column.computed is not None
        or column.identity is not None
    )


def _may_change(column: Column[Any]) -> bool:
    """Return whether the values of a column may be changed in place."""
    if isinstance(column.type, TypeDecorator):
        return True
    try:
        return not issubclass(column.type.python_type, _IMMUTABLE)
    except NotImplementedError:
        return True


def _same(values: Values) -> Values:
    return values
