from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described, instance, integer, text
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import StreamName, category_name
from mdb_sqla.words.tags import checked_tags

__all__ = ["AppendCondition", "Query", "QueryItem", "QueryResult"]


class QueryItem(NamedTuple):
    """What a message must match: one of the categories, one of the types, and all tags.

    Attributes:
        categories: the categories.
        types: the names or the classes of the types; None for all types.
        tags: the tags.
    """

    categories: tuple[StreamName, ...]
    types: tuple[str | type, ...] | None
    tags: tuple[str, ...]


class Query:
    """The messages that a decision depends on.

    A message matches if it belongs to one of the categories, has one of the types, and has all of
    the tags. `query | other` matches what either of them matches.

        students = Query(categories=["enrollment"], tags=["student:7"])
        courses = Query(categories=["course", "enrollment"], tags=["course:1"])
        query = students | courses

    Args:
        categories: the categories, at least one.
        types: names of message types, or classes, if the store or the unit of work has message
            types; None for all types. A class also matches its former names.
        tags: the tags.

    Raises:
        InvalidStreamName: a category is invalid, or is a stream name.
        InvalidArgument: there is no category, a type is neither a name nor a class, or a tag is not
            a non-empty string.
    """

    __slots__ = ("items",)

    items: tuple[QueryItem, ...]

    def __init__(
        self,
        *,
        categories: Iterable[str],
        types: Iterable[str | type] | None = None,
        tags: Iterable[str] = (),
    ) -> None:
        names = dict.fromkeys(map(_category, _listed("categories", categories)))
        kinds = None if types is None else dict.fromkeys(map(_type, _listed("types", types)))
        item = QueryItem(tuple(names), None if kinds is None else tuple(kinds), checked_tags(tags))
        self.items = (item,)

    @classmethod
    def of(cls, items: Iterable[QueryItem]) -> Query:
        """Return a query with these items."""
        query = cls.__new__(cls)
        query.items = tuple(dict.fromkeys(items))
        return query

    @property
    def categories(self) -> frozenset[StreamName]:
        """The categories of all items. A write with a condition locks them until it commits."""
        return frozenset(name for item in self.items for name in item.categories)

    def after(self, seen: QueryResult | int) -> AppendCondition:
        """Return the condition that no matching message exists after what a decision has seen.

        Args:
            seen: the result of reading this query, or its position; 0 if there must be no matching
                message at all.

        Raises:
            InvalidArgument: the result is that of a query without one of the categories, or the
                position is not an integer of at least 0.
        """
        if isinstance(seen, QueryResult):
            for name in sorted(self.categories - seen.query.categories):
                raise InvalidArgument(
                    f"Category {name!r} of the condition was not read: its position is only known "
                    f"for {', '.join(sorted(seen.query.categories))}"
                )
            return AppendCondition(self, seen.position)
        return AppendCondition(self, seen)

    def __or__(self, other: object) -> Query:
        if not isinstance(other, Query):
            return NotImplemented
        return Query.of((*self.items, *other.items))

    def __eq__(self, other: object) -> bool:
        return self.items == other.items if isinstance(other, Query) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        return " | ".join(map(_described, self.items))


class QueryResult(Sequence[StoredMessage]):
    """The messages that match a query, in order.

    Attributes:
        query: the query.
        position: the global position up to which the result is complete: no matching message can
            appear at or below it any more.
    """

    __slots__ = ("_messages", "position", "query")

    def __init__(self, query: Query, messages: Sequence[StoredMessage], position: int) -> None:
        self.query = query
        self.position = position
        self._messages = messages

    @overload
    def __getitem__(self, index: int) -> StoredMessage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[StoredMessage]: ...
    def __getitem__(self, index: int | slice) -> StoredMessage | Sequence[StoredMessage]:
        return self._messages[index]

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[StoredMessage]:
        return iter(self._messages)

    def __repr__(self) -> str:
        return f"<QueryResult of {len(self)} messages up to position {self.position}>"


@dataclass(frozen=True, slots=True)
class AppendCondition:
    """The condition that no message matches a query after a position. See `Query.after`.

    Attributes:
        query: the query.
        position: the global position.
    """

    query: Query
    position: int

    def __post_init__(self) -> None:
        instance("query", self.query, Query)
        object.__setattr__(self, "position", integer("position", self.position, 0))


def _listed(what: str, values: object) -> list[object]:
    if isinstance(values, str | bytes | type) or not isinstance(values, Iterable):
        raise InvalidArgument(f"{what} must be a list, got {described(values)}")
    listed = list(values)
    if not listed:
        raise InvalidArgument(f"{what} must have at least one element, got {described(values)}")
    return listed


def _category(value: Any) -> StreamName:
    return category_name(value)


def _type(value: object) -> str | type:
    return value if isinstance(value, type) else text("a message type", value)


def _described(item: QueryItem) -> str:
    arguments = [f"categories={[*map(str, item.categories)]}"]
    if item.types is not None:
        types = (each.__name__ if isinstance(each, type) else repr(each) for each in item.types)
        arguments.append(f"types=[{', '.join(types)}]")
    if item.tags:
        arguments.append(f"tags={[*item.tags]}")
    return f"Query({', '.join(arguments)})"
