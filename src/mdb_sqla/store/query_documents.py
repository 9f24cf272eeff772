"""Queries and append conditions as the server functions expect them, with the names of types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.words.argument_checks import described, instance
from mdb_sqla.words.query import AppendCondition, Query, QueryItem

__all__ = ["checked_conditions", "checked_query", "condition_documents", "query_document"]


def checked_query(query: object, types: MessageTypes | None) -> Query:
    """Return a query with all names of its types instead of classes.

    Raises:
        InvalidArgument: it is not a query, or a class is not a message type.
    """
    checked = instance("query", query, Query)
    return Query.of(
        item if item.types is None else item._replace(types=_names(item.types, types))
        for item in checked.items
    )


def checked_conditions(
    unless: object, types: MessageTypes | None = None
) -> tuple[AppendCondition, ...]:
    """Return append conditions, none for None, with all names of types instead of classes.

    Raises:
        InvalidArgument: the argument is neither a condition nor a list of conditions, or a class is
            not a message type.
    """
    if unless is None:
        return ()
    if isinstance(unless, AppendCondition):
        unless = (unless,)
    if not isinstance(unless, Iterable):
        raise _not_a_condition(unless)
    return tuple(_named(each, types) for each in unless)


def query_document(query: Query) -> list[dict[str, Any]]:
    """Return a query as JSON."""
    return [_item_document(item) for item in query.items]


def condition_documents(conditions: Iterable[AppendCondition]) -> list[dict[str, Any]]:
    """Return conditions as JSON, each once."""
    return [
        {"query": query_document(condition.query), "after": condition.position}
        for condition in dict.fromkeys(conditions)
    ]


def _named(condition: object, types: MessageTypes | None) -> AppendCondition:
    if not isinstance(condition, AppendCondition):
        raise _not_a_condition(condition)
    return AppendCondition(checked_query(condition.query, types), condition.position)


def _not_a_condition(value: object) -> InvalidArgument:
    return InvalidArgument(
        "unless must be an append condition, such as query.after(result), or a list of them, got "
        f"{described(value)}"
    )


def _item_document(item: QueryItem) -> dict[str, Any]:
    document: dict[str, Any] = {"categories": item.categories}
    if item.types is not None:
        document["types"] = item.types
    if item.tags:
        document["tags"] = item.tags
    return document


def _names(kinds: Sequence[str | type], types: MessageTypes | None) -> tuple[str, ...]:
    names: list[str] = []
    for kind in kinds:
        if isinstance(kind, str):
            names.append(kind)
        elif types is None:
            raise InvalidArgument(
                f"The query has the class {described(kind)} as a message type: pass its name, or "
                "pass types= to the store or the unit of work"
            )
        else:
            names += types.names(kind)
    return tuple(dict.fromkeys(names))
