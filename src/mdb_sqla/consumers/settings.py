"""The settings of a consumer, and their validation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from mdb_sqla.consumers.group import Group
from mdb_sqla.consumers.registry import WITHOUT_CONSUMER
from mdb_sqla.consumers.retry_policy import RetryPolicy
from mdb_sqla.errors import InvalidArgument, InvalidStreamName
from mdb_sqla.store.read_arguments import CategoryFilters, checked_filters
from mdb_sqla.store.standbys import Standbys
from mdb_sqla.words.argument_checks import described, instance, integer, key, seconds
from mdb_sqla.words.stream_name import StreamName, category_name

__all__ = ["IsolationLevel", "OnFailure", "Settings"]

IsolationLevel = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
OnFailure = Literal["stop", "dead_letter"]


@dataclass(frozen=True)
class Settings:
    """The settings of a consumer. See `Consumer`."""

    name: str
    categories: tuple[StreamName, ...]
    start: int
    skips_deleted: bool
    take_over: StreamName | None
    batch_size: int
    transaction_size: int
    retry_policy: RetryPolicy
    max_in_flight: int | None
    isolation_level: str | None
    on_failure: OnFailure
    poll_interval: tuple[float, float]
    group: Group | None
    read_from: Standbys | None
    filters: CategoryFilters

    @classmethod
    def checked(
        cls,
        name: str,
        categories: Iterable[str],
        *,
        start: int | Literal["earliest"],
        take_over: str | None,
        batch_size: int,
        transaction_size: int,
        max_in_flight: int | None,
        isolation_level: IsolationLevel | None,
        retry_policy: RetryPolicy | None,
        on_failure: OnFailure,
        poll_interval: tuple[float, float],
        group: Group | None,
        read_from: Standbys | None,
        filters: CategoryFilters,
    ) -> Self:
        """Validate the arguments of `Consumer`.

        Raises:
            InvalidArgument: an argument is invalid.
        """
        name = key("name", name)
        filters = checked_filters(filters)
        if group is not None and "consumer_group_size" in filters:
            raise InvalidArgument(
                "group and consumer_group_size are mutually exclusive: group membership is either "
                "dynamic or fixed"
            )
        if max_in_flight is not None and transaction_size != 1:
            raise InvalidArgument(
                "transaction_size and max_in_flight are mutually exclusive: messages in flight "
                "don't share a transaction"
            )
        if isolation_level is not None:
            _check_isolation_level(isolation_level, max_in_flight)
        return cls(
            name=name,
            categories=tuple(category_name(category) for category in categories),
            start=1 if start == "earliest" else _position(start),
            skips_deleted=start == "earliest",
            take_over=None if take_over is None else _position_stream(take_over),
            batch_size=integer("batch_size", batch_size, 1),
            transaction_size=integer("transaction_size", transaction_size, 1),
            max_in_flight=(
                None if max_in_flight is None else integer("max_in_flight", max_in_flight, 1)
            ),
            isolation_level=isolation_level,
            retry_policy=RetryPolicy()
            if retry_policy is None
            else instance("retry_policy", retry_policy, RetryPolicy),
            on_failure=_checked_choice("on_failure", on_failure, OnFailure),
            poll_interval=_checked_interval(poll_interval),
            group=None if group is None else instance("group", group, Group),
            read_from=None if read_from is None else instance("read_from", read_from, Standbys),
            filters=filters,
        )

    def check_standbys(self, *, is_async: bool) -> None:
        """Check that the engines to read from are of the kind that the consumer needs.

        Raises:
            InvalidArgument: an engine is of the other kind.
        """
        if self.read_from is not None:
            self.read_from.check(is_async=is_async)

    @property
    def dead_letters_failures(self) -> bool:
        """Whether a message becomes a dead letter after all attempts have failed."""
        return self.on_failure == "dead_letter"

    @property
    def sharing(self) -> str:
        """How the consumer shares its work with other processes, for display."""
        if self.group is not None:
            slots = self.group.slots
            return f"{self.group.member_name}, {slots} slot{'s' * (slots != 1)}"
        size = self.filters.get("consumer_group_size")
        return f"member {self.filters.get('consumer_group_member')} of {size}" if size else "alone"


def _position(start: object) -> int:
    try:
        position = integer("start", start, 0)
    except InvalidArgument:
        position = WITHOUT_CONSUMER
    if position >= WITHOUT_CONSUMER:
        raise InvalidArgument(
            f"start must be an integer from 0 to {WITHOUT_CONSUMER - 1}, or 'earliest', got "
            f"{described(start)}"
        )
    return position


def _check_isolation_level(isolation_level: object, max_in_flight: int | None) -> None:
    _checked_choice("isolation_level", isolation_level, IsolationLevel)
    if max_in_flight is not None:
        raise InvalidArgument(
            "isolation_level and max_in_flight are mutually exclusive: messages in flight don't "
            "share a transaction"
        )


def _checked_choice(what: str, value: Any, choices: Any) -> Any:
    if value not in get_args(choices):
        raise InvalidArgument(
            f"{what} must be one of {', '.join(map(repr, get_args(choices)))}, "
            f"got {described(value)}"
        )
    return value


def _checked_interval(interval: tuple[float, float]) -> tuple[float, float]:
    if not isinstance(interval, tuple | list) or len(interval) != 2:
        raise InvalidArgument(
            "poll_interval must be a (shortest, longest) pair in seconds, got "
            f"{described(interval)}"
        )
    shortest, longest = (seconds("poll_interval", each) for each in interval)
    if shortest > longest:
        raise InvalidArgument(
            "poll_interval must be a (shortest, longest) pair in seconds, got "
            f"{described(interval)}"
        )
    return shortest, longest


def _position_stream(name: str) -> StreamName:
    checked = StreamName(name)
    if checked.is_category:
        raise InvalidStreamName(
            checked, f"take_over must be a stream name, such as '{checked}:position-name'"
        )
    return checked
