"""Tags of messages: strings in the metadata, by which queries find messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described, text

__all__ = ["TAGS", "checked_tags", "with_tags"]

TAGS = "tags"
"""The metadata key of the tags."""


def checked_tags(tags: object) -> tuple[str, ...]:
    """Return validated tags, each once.

    Raises:
        InvalidArgument: the argument is not a list of strings, or a tag is empty or can't be
            stored.
    """
    # A string would be taken for its characters.
    if isinstance(tags, str | bytes | Mapping) or not isinstance(tags, Iterable):
        raise InvalidArgument(f"tags must be a list of strings, got {described(tags)}")
    return tuple(dict.fromkeys(text("a tag", tag) for tag in tags))


def with_tags(metadata: Mapping[str, Any] | None, tags: Iterable[str]) -> dict[str, Any]:
    """Return metadata with tags added to those that it has.

    Raises:
        InvalidArgument: the metadata has something else under the key `tags`.
    """
    known = (metadata or {}).get(TAGS)
    if not isinstance(known, list | tuple | None) or not all(
        isinstance(tag, str) for tag in known or ()
    ):
        raise InvalidArgument(f"metadata['tags'] must be a list of strings, got {described(known)}")
    return {**(metadata or {}), TAGS: [*checked_tags([*(known or ()), *tags])]}
