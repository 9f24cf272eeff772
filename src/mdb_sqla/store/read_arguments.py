"""Validation of read arguments, and their conversion for the server functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described, is_storable, plain
from mdb_sqla.words.stream_name import StreamName, category_name

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "DEFAULT_BATCH_SIZE",
    "CategoryFilters",
    "category_names",
    "checked_batch_size",
    "checked_filters",
    "checked_position",
    "checked_text",
    "common_arguments",
    "filter_arguments",
]

DEFAULT_BATCH_SIZE = 1000

_GROUP = {"consumer_group_member", "consumer_group_size"}


class CategoryFilters(TypedDict, total=False):
    """Filters for reads of one category, several categories, or all.

    - `correlation`: only messages whose `correlationStreamName` is in this category.
    - `consumer_group_member`, from 0, and `consumer_group_size`: only messages assigned to this
      member of a consumer group of this size, by the cardinal id of their stream.
    - `condition`: only messages for which this SQL expression over the columns of `messages` is
      true. Requires the setting `message_store.sql_condition` to be `on`.
    """

    correlation: str | None
    consumer_group_member: int | None
    consumer_group_size: int | None
    condition: str | None


def checked_filters(filters: CategoryFilters) -> CategoryFilters:
    """Return validated filters.

    Raises:
        InvalidArgument: a value is invalid.
        TypeError: a filter does not exist.
    """
    for name in filters.keys() - CategoryFilters.__annotations__.keys():
        raise TypeError(f"got an unexpected keyword argument {name!r}")
    correlation = filters.get("correlation")
    if correlation is not None:
        category_name(correlation)
    values = {key: value for key, value in filter_arguments(**filters).items() if value is not None}
    if _GROUP & values.keys():
        member, size = (values.get(name) for name in sorted(_GROUP))
        if member is None or size is None or not 0 <= member < size:
            raise InvalidArgument(
                "consumer_group_member must be an integer from 0 to less than consumer_group_size, "
                f"got {member!r} of {size!r}"
            )
    return values  # type: ignore[return-value]  # by their names


def common_arguments(
    position: int, batch_size: int, **filters: Unpack[CategoryFilters]
) -> dict[str, Any]:
    return {
        "position": checked_position(position),
        "batch_size": checked_batch_size(batch_size),
        **filter_arguments(**filters),
    }


def filter_arguments(
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
        "condition": checked_text("condition", condition),
    }


def category_names(categories: Iterable[str] | None) -> list[str] | None:
    if categories is None:
        return None
    if isinstance(categories, str) or not isinstance(categories, Iterable):
        raise InvalidArgument(
            f"categories must be a list of categories, or None for all, got {described(categories)}"
        )
    return [StreamName(category) for category in categories]


def checked_text(name: str, value: str | None) -> str | None:
    if value is not None and (not isinstance(value, str) or not is_storable(value)):
        raise InvalidArgument(
            f"{name} must be a string without NUL or surrogates, got {described(value)}"
        )
    return None if value is None else plain(value)


def _int64(name: str, value: int | None) -> int | None:
    if value is not None and not (_is_integer(value) and -(2**63) <= value < 2**63):
        raise InvalidArgument(f"{name} must be a 64-bit integer, got {described(value)}")
    return None if value is None else int(value)


def checked_position(value: int) -> int:
    if not (_is_integer(value) and 0 <= value < 2**63):
        raise InvalidArgument(
            f"position must be an integer from 0 to 2^63 - 1, got {described(value)}"
        )
    return int(value)


def checked_batch_size(value: int) -> int:
    if not (_is_integer(value) and (value == -1 or 1 <= value < 2**63)):
        raise InvalidArgument(
            "batch_size must be an integer of at least 1, or -1 for no limit, got "
            f"{described(value)}"
        )
    return int(value)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
