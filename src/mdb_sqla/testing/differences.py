"""Differences between what a test expects and what happened, for its error message."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from itertools import zip_longest
from pprint import pformat
from typing import Any

from mdb_sqla.entities.state import is_same
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.message import Message, StoredMessage

__all__ = ["check_messages", "check_state", "expected_message"]


def check_messages(
    what: str,
    expected: Sequence[Message | str],
    happened: Sequence[Message | StoredMessage],
) -> None:
    """Check that messages are those expected.

    Args:
        what: what they are, for the error message.
        expected: the expected messages; of a type, only that is compared. Metadata that an expected
            message does not have is not compared.
        happened: the messages.

    Raises:
        AssertionError: they are not; the text shows the difference.
    """
    wanted: list[str] = []
    found: list[str] = []
    for each, own in zip_longest(expected, happened):
        if each is not None:
            wanted += _lines(each, each)
        if own is not None:
            # In as much detail as the message that it is compared with.
            found += _lines(own, own if each is None else each)
    if wanted != found:
        _fail(what, wanted, found)


def check_state(what: str, expected: object, state: object) -> None:
    """Check that a state is the expected one.

    Raises:
        AssertionError: it is not; the text shows the difference.
    """
    if not is_same(expected, state):
        _fail(what, _attributes(expected), _attributes(state))


def expected_message(expected: Any, types: MessageTypes | None) -> Message | str:
    """Return what is expected as a message, or the name of a type as it is.

    Raises:
        InvalidArgument: it is neither a message, the name of a type, nor an instance of a message
            type.
    """
    if isinstance(expected, Message | str):
        return expected
    if types is None:
        raise InvalidArgument(
            "Expected messages must be messages or names of types; to pass objects, pass "
            f"types=MessageTypes(...), got {described(expected)}"
        )
    return types.message(expected)


def _lines(
    message: Message | StoredMessage | str, like: Message | StoredMessage | str
) -> list[str]:
    """Return a message as lines, with what another one has."""
    if isinstance(message, str):
        return [message]
    if isinstance(like, str):
        return [message.type]
    lines = [f"{message.type} {pformat(_json(message.data or {}))}"]
    wanted = like.metadata or {}
    known: Any = message.metadata if isinstance(message.metadata, dict) else {}
    if wanted:
        lines.append(f"  metadata {pformat(_json({key: known.get(key) for key in wanted}))}")
    return [line for text in lines for line in text.splitlines()]


def _attributes(state: object) -> list[str]:
    if type(state).__repr__ is object.__repr__:
        return f"{type(state).__name__} {pformat(state.__reduce_ex__(2)[2])}".splitlines()
    return pformat(state).splitlines()


def _json(value: Any) -> Any:
    # A list equals a tuple, as it does once it is stored.
    return json.loads(json.dumps(value, default=str))


def _fail(what: str, expected: Sequence[str], happened: Sequence[str]) -> None:
    lines = [line.rstrip() for line in difflib.ndiff(expected, happened) if line[0] != "?"]
    shown = "\n".join(lines) or "nothing"
    raise AssertionError(f"{what} (- expected, + found):\n{shown}")
