"""The fold of messages into rows, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

from mdb_sqla.errors import MessageStoreError, ProjectionFailed
from mdb_sqla.projections.message_handler import Step
from mdb_sqla.projections.row_keys import Key
from mdb_sqla.projections.row_mapping import RowMapping, Values
from mdb_sqla.words.argument_checks import described, name_of
from mdb_sqla.words.message import StoredMessage

__all__ = ["Changes", "RowFold", "failures_named"]

_R = TypeVar("_R")


class Changes(NamedTuple):
    """The rows to write, and the keys of those to delete."""

    written: list[Values]
    deleted: list[Key]


class RowFold(Generic[_R]):
    """Rows, and the messages that are applied to them.

    Args:
        projection: the projection's name, for errors.
        mapping: the class of the rows.

    Attributes:
        rows: the rows by key; None for a row that does not exist.
    """

    def __init__(self, projection: str, mapping: RowMapping[_R]) -> None:
        self._projection = projection
        self._mapping = mapping
        self.rows: dict[Key, _R | None] = {}
        self._loaded: dict[Key, Values] = {}

    def load(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add stored rows."""
        for values in rows:
            row = self._mapping.make(values)
            key = self._mapping.key_of(row)
            self.rows[key] = row
            self._loaded[key] = self._mapping.snapshot(row)

    def apply(self, step: Step) -> None:
        """Call the handler of a message for each of its rows.

        Raises:
            ProjectionFailed: the handler returned something else than a row with the same key, or
                it changed the row and did not return it.
        """
        mapping, rows = self._mapping, self.rows
        for key in step.keys:
            row = rows.get(key)
            before = None if row is None else mapping.values(row)
            result = step.handler.function(row, *step.arguments)
            if result is None:
                if row is not None and mapping.values(row) != before:
                    raise self._failed(
                        step.message,
                        "its handler has changed the row and returned None, which deletes it: "
                        "return the row, or leave it unchanged to delete it",
                    )
            elif not isinstance(result, mapping.row):
                raise self._failed(
                    step.message,
                    f"its handler must return an instance of {name_of(mapping.row)} or None, got "
                    f"{described(result)}",
                )
            elif (found := mapping.key_of(result)) != key:
                raise self._failed(
                    step.message,
                    f"its handler must return a row with the key {key!r}, got {found!r}",
                )
            rows[key] = result

    def changes(self) -> Changes:
        """Return what differs from the rows that were loaded."""
        changes = Changes([], [])
        for key, row in self.rows.items():
            loaded = self._loaded.get(key)
            if row is None:
                if loaded is not None:
                    changes.deleted.append(key)
            elif (values := self._mapping.values(row)) != loaded:
                changes.written.append(values)
        return changes

    def _failed(self, message: StoredMessage, rule: str) -> ProjectionFailed:
        return ProjectionFailed(self._projection, message, rule)


@contextmanager
def failures_named(projection: str, message: StoredMessage) -> Iterator[None]:
    """Raise `ProjectionFailed` for an error of a handler or of a key function.

    Raises:
        ProjectionFailed: the error, with the name of the message.
    """
    try:
        yield
    except MessageStoreError:
        # It names the message itself.
        raise
    except Exception as error:
        raise ProjectionFailed(projection, message, f"{type(error).__name__}: {error}") from error
