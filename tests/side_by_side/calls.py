"""A call of one of the server's functions, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

FUNCTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "acquire_lock": (("stream_name", "varchar"),),
    "cardinal_id": (("stream_name", "varchar"),),
    "category": (("stream_name", "varchar"),),
    "get_category_messages": (
        ("category", "varchar"),
        ("position", "bigint"),
        ("batch_size", "bigint"),
        ("correlation", "varchar"),
        ("consumer_group_member", "bigint"),
        ("consumer_group_size", "bigint"),
        ("condition", "varchar"),
    ),
    "get_last_stream_message": (("stream_name", "varchar"), ("type", "varchar")),
    "get_stream_messages": (
        ("stream_name", "varchar"),
        ("position", "bigint"),
        ("batch_size", "bigint"),
        ("condition", "varchar"),
    ),
    "hash_64": (("value", "varchar"),),
    "id": (("stream_name", "varchar"),),
    "is_category": (("stream_name", "varchar"),),
    "message_store_version": (),
    "stream_version": (("stream_name", "varchar"),),
    "write_message": (
        ("id", "varchar"),
        ("stream_name", "varchar"),
        ("type", "varchar"),
        ("data", "jsonb"),
        ("metadata", "jsonb"),
        ("expected_version", "bigint"),
    ),
}
"""The parameters of each function, with their types, in order."""


@dataclass(frozen=True)
class Call:
    """A call. What `arguments` leaves out is left out of the call, too.

    Attributes:
        by_name: whether the arguments are passed by name; by position they end before the first
            that is left out.
        settings: the settings `message_store.*` that differ from their state in a new session.
    """

    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    by_name: bool = True
    settings: dict[str, str] = field(default_factory=dict)

    def sql(self) -> str:
        """The call with psycopg's placeholders, in a schema to be filled in."""
        parts = []
        for name, type_ in FUNCTIONS[self.function]:
            if name in self.arguments:
                label = f'"{name}" => ' if self.by_name else ""
                parts.append(f"{label}%({name})s::{type_}")
            elif not self.by_name:
                break
        return f"{self.function}({', '.join(parts)})"

    def passed(self) -> dict[str, Any]:
        """The arguments that the function receives."""
        passed = {}
        for name, _ in FUNCTIONS[self.function]:
            if name in self.arguments:
                passed[name] = self.arguments[name]
            elif not self.by_name:
                break
        return passed

    def but(self, **arguments: Any) -> Call:
        """The same call, by name, with other arguments."""
        return replace(self, by_name=True, arguments={**self.passed(), **arguments})


@dataclass(frozen=True)
class Rows:
    """The rows of an answer, without the column `time`, which is the clock's."""

    columns: tuple[tuple[str, int], ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Refusal:
    """An error, by its SQLSTATE and its primary message."""

    sqlstate: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """What comes of a call.

    Attributes:
        sequence: where the sequence of the global positions is afterwards.
        noticed: whether the server sent a NOTICE.
    """

    answer: Rows | Refusal
    sequence: int
    noticed: bool
