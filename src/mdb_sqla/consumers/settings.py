"""What a consumer was made with, and the rules that it must keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, get_args

from mdb_sqla.consumers.group import Group
from mdb_sqla.consumers.retries import Retries
from mdb_sqla.errors import InvalidArgument, InvalidStreamName
from mdb_sqla.store.read_arguments import CategoryFilters, checked_filters
from mdb_sqla.words.argument_checks import described, flag, instance, integer, key, seconds
from mdb_sqla.words.stream_name import StreamName, category_name

__all__ = ["IsolationLevel", "Settings"]

IsolationLevel = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@dataclass(frozen=True)
class Settings:
    """What a consumer was made with; see `Consumer`."""

    name: str
    categories: tuple[StreamName, ...]
    start: int
    take_over: StreamName | None
    batch_size: int
    transaction_size: int
    retries: Retries
    in_flight: int | None
    isolation_level: str | None
    sets_aside: bool
    poll: tuple[float, float]
    group: Group | None
    filters: CategoryFilters

    @classmethod
    def checked(
        cls,
        name: str,
        categories: Iterable[str],
        *,
        start: int,
        take_over: str | None,
        batch_size: int,
        transaction_size: int,
        in_flight: int | None,
        isolation_level: IsolationLevel | None,
        retries: Retries | None,
        sets_aside: bool,
        poll: tuple[float, float],
        group: Group | None,
        filters: CategoryFilters,
    ) -> Self:
        """Check what an application passes.

        Raises:
            InvalidArgument: an argument breaks its rule.
        """
        name = key("A consumer's name", name)
        filters = checked_filters(filters)
        if group is not None and "consumer_group_size" in filters:
            raise InvalidArgument("A consumer has a group or is a member by number, not both")
        if in_flight is not None and transaction_size != 1:
            raise InvalidArgument("Messages in flight share no transaction: leave out its size")
        if isolation_level is not None:
            _check_isolation_level(isolation_level, in_flight)
        return cls(
            name=name,
            categories=tuple(category_name(category) for category in categories),
            start=integer("start", start, 0),
            take_over=None if take_over is None else _position_stream(take_over),
            batch_size=integer("batch_size", batch_size, 1),
            transaction_size=integer("transaction_size", transaction_size, 1),
            in_flight=None if in_flight is None else integer("in_flight", in_flight, 1),
            isolation_level=isolation_level,
            retries=Retries() if retries is None else instance("retries", retries, Retries),
            sets_aside=flag("sets_aside", sets_aside),
            poll=_checked_poll(poll),
            group=None if group is None else instance("group", group, Group),
            filters=filters,
        )

    @property
    def sharing(self) -> str:
        """How a consumer shares its work with others of its name, in words."""
        if self.group is not None:
            return f"{self.group.member}, {self.group.slots} slots"
        size = self.filters.get("consumer_group_size")
        return f"member {self.filters.get('consumer_group_member')} of {size}" if size else "alone"


def _check_isolation_level(isolation_level: object, in_flight: int | None) -> None:
    if isolation_level not in get_args(IsolationLevel):
        raise InvalidArgument(
            f"isolation_level must be one of {', '.join(get_args(IsolationLevel))}: "
            f"{isolation_level!r}"
        )
    if in_flight is not None:
        raise InvalidArgument("Messages in flight share no transaction: leave out isolation_level")


def _checked_poll(poll: tuple[float, float]) -> tuple[float, float]:
    if not isinstance(poll, tuple | list) or len(poll) != 2:
        raise InvalidArgument(f"poll must be two numbers of seconds: {described(poll)}")
    first, longest = (seconds("poll", each) for each in poll)
    if first > longest:
        raise InvalidArgument(f"poll must be two numbers of seconds, the first not greater: {poll}")
    return first, longest


def _position_stream(name: str) -> StreamName:
    checked = StreamName(name)
    if checked.is_category:
        raise InvalidStreamName(
            checked, f"take_over must be a stream, such as '{checked}:position-name'"
        )
    return checked
