"""Calls made up by Hypothesis: most meet the messages of others, and some are nonsense."""

from __future__ import annotations

from hashlib import sha512
from itertools import chain
from json import dumps
from typing import Any

from hypothesis import strategies as st

from tests.side_by_side.calls import FUNCTIONS, Call

_BIGGEST = 2**63 - 1

_STREAMS = ["account-1", "account-1", "account-1", "account-2", "account-1+2"]
_ODD_STREAMS = [
    "account-",
    "account-1-2",
    "account-+1",
    "a:command-1+2+3",
    "-1",
    "-",
    "---",
    "ü-😀",
]
_CATEGORIES = ["account"]
_ODD_CATEGORIES = ["a:command", "", "ü", "o'brien\"; --%s:x{schema}", "+"]

# An index entry has room for 2,704 bytes, and digests don't compress.
_TOO_LONG = "long-" + "".join(sha512(bytes([number])).hexdigest() for number in range(22))

_ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_STREAM = st.sampled_from([*_STREAMS, *_STREAMS, *_ODD_STREAMS])
_CATEGORY = st.sampled_from([*_CATEGORIES * 8, *_ODD_CATEGORIES])


def _mostly(
    usual: st.SearchStrategy[Any], *others: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda number: usual if number < 8 else st.one_of(*others))


_ODD_NAME = st.one_of(_ANY_TEXT, st.sampled_from([None, _TOO_LONG]))
_STREAM_NAME = _mostly(_STREAM, _CATEGORY, _ODD_NAME)
_CATEGORY_NAME = _mostly(_CATEGORY, _STREAM, _ODD_NAME)
_WRITTEN_NAME = _mostly(st.one_of(_STREAM, _STREAM, _CATEGORY), _ODD_NAME)
_TYPE = _mostly(st.sampled_from(["A", "B"]), st.sampled_from(["", "Ünï", None]), _ANY_TEXT)

_UUID = "0123abcd-0000-0000-0000-00000000000"
_ID = _mostly(
    st.uuids(version=4).map(str),
    st.sampled_from([_UUID + "1", _UUID + "2", (_UUID + "1").upper(), f"{{{_UUID}2}}"]),
    st.sampled_from(["", "x", _UUID, None]),
)

_OTHER_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
_JSON = st.one_of(
    st.sampled_from([{}, {"n": 1}, {"n": {"deep": [1, None, {"x": "ü"}]}}, [], "text", 5, None]),
    _OTHER_JSON,
)
_CORRELATED = st.fixed_dictionaries(
    {"correlationStreamName": _mostly(_STREAM, _CATEGORY, st.sampled_from([None, 5, [1], {}]))},
    optional={"n": st.integers(0, 2)},
)


def _as_text(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str | None]:
    """SQL's NULL is None, and JSON's is the text `null`."""
    return _mostly(values.map(dumps), st.none())


_POSITION = _mostly(
    st.sampled_from([0, 1, 2, 3, 5, None, None]),
    st.sampled_from([-1, -100, 1_000_000, _BIGGEST, -_BIGGEST - 1]),
)
_BATCH_SIZE = _mostly(
    st.sampled_from([1, 2, 3, 10, -1, None]),
    st.sampled_from([0, -2, -1_000, 1_000_000, _BIGGEST, -_BIGGEST - 1]),
)
_VERSION = _mostly(st.sampled_from([-1, 0, 1, 2, None]), st.sampled_from([-2, 5, _BIGGEST]))

_GROUP = st.sampled_from([(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3), (0, 32_767)])
_NO_GROUP = st.tuples(
    st.sampled_from([0, 1, 2, None, -1, 32_768, _BIGGEST]),
    st.sampled_from([1, 2, 3, None, 0, -1, 32_767, 32_768, 1_000_000, _BIGGEST]),
)
_CONSUMER_GROUP = _mostly(_GROUP, _NO_GROUP)

_CONDITION = st.sampled_from(
    [
        None,
        "true",
        "false",
        "NULL",
        "type = 'A'",
        "position >= 1",
        "global_position < 4 OR messages.type = 'B'",
        "data ->> 'n' = '1'",
        "metadata IS NULL",
        "stream_name LIKE 'account-1%'",
        "split_part(stream_name, '-', 1) = 'account'",
        "stream_name = $1 AND position = $2",
        "true) AND (true",
        "nope = 1",
        "1",
        "",
        ")",
        "true -- ",
    ]
)

_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "batch_size": _BATCH_SIZE,
    "category": _CATEGORY_NAME,
    "condition": _CONDITION,
    "correlation": _CATEGORY_NAME,
    "data": _as_text(_JSON),
    "expected_version": _VERSION,
    "id": _ID,
    "metadata": _as_text(st.one_of(_CORRELATED, _CORRELATED, _JSON)),
    "position": _POSITION,
    "stream_name": _STREAM_NAME,
    "type": _TYPE,
    "value": _STREAM_NAME,
}

_SETTINGS = st.fixed_dictionaries(
    {"sql_condition": _mostly(st.just("on"), st.sampled_from(["off", "", "ON", "true", "0"]))},
    optional={
        "debug": st.sampled_from(["off", "on", ""]),
        "debug_get": st.sampled_from(["off", "on"]),
        "debug_write": st.sampled_from(["off", "on"]),
    },
)

_FUNCTIONS = [
    *FUNCTIONS,
    *["write_message"] * 12,
    *["get_category_messages"] * 4,
    *["get_stream_messages"] * 4,
    *["get_last_stream_message"] * 2,
]

_REQUIRED = {"write_message": 4}
"""How many parameters have no default; of every other function it is the first."""


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """A call of any function; half of them write."""
    function = draw(st.sampled_from(_FUNCTIONS))
    names = [name for name, _ in FUNCTIONS[function] if not name.startswith("consumer_group_")]
    optional = names[_REQUIRED.get(function, 1) :]
    left_out = draw(st.sets(st.sampled_from(optional))) if optional else set()
    arguments = {name: draw(_VALUES[name]) for name in names if name not in left_out}
    if function == "write_message":
        arguments["stream_name"] = draw(_WRITTEN_NAME)
    if function == "get_category_messages" and draw(st.booleans()):
        member, size = draw(_CONSUMER_GROUP)
        arguments |= {"consumer_group_member": member, "consumer_group_size": size}
    return Call(function, arguments, draw(st.booleans()), draw(_SETTINGS))


# Reads of an empty store all look alike.
_FIRST_CALLS = [
    Call(
        "write_message",
        {
            "id": f"0123abcd-0000-0000-0000-0000000001{number:02}",
            "stream_name": stream_name,
            "type": "AB"[number % 2],
            "data": dumps({"n": number}),
            "metadata": dumps({"correlationStreamName": "account-1"}) if number % 3 else None,
        },
    )
    for number, stream_name in enumerate(
        ["account-1", "account-1", "account", "account-2", "account-1", "account-1+2", "ü-😀"]
    )
]


def many_calls() -> st.SearchStrategy[list[Call]]:
    """Some twenty calls; a list of lists, for Hypothesis keeps a plain list shorter."""
    some = st.lists(calls(), min_size=1, max_size=10)
    first = st.sampled_from([[], _FIRST_CALLS, _FIRST_CALLS])
    more = st.lists(some, min_size=1, max_size=10)
    return st.builds(lambda first, more: list(chain(first, *more)), first, more)
