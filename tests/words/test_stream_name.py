from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from mdb_sqla import InvalidStreamName, StreamName, functions


@pytest.mark.parametrize(
    ("name", "category", "entity", "types", "id_", "ids", "cardinal_id"),
    [
        ("account", "account", "account", (), None, (), None),
        ("account-1", "account", "account", (), "1", ("1",), "1"),
        ("account:command-1+2", "account:command", "account", ("command",), "1+2", ("1", "2"), "1"),
        ("a:b+c-1-2", "a:b+c", "a", ("b", "c"), "1-2", ("1-2",), "1-2"),
        ("account-", "account", "account", (), "", ("",), ""),
    ],
)
def test_parts(
    name: str,
    category: str,
    entity: str,
    types: tuple[str, ...],
    id_: str | None,
    ids: tuple[str, ...],
    cardinal_id: str | None,
) -> None:
    stream_name = StreamName(name)

    assert stream_name == name
    assert stream_name.category == category
    assert stream_name.entity == entity
    assert stream_name.types == types
    assert stream_name.id == id_
    assert stream_name.ids == ids
    assert stream_name.cardinal_id == cardinal_id
    assert stream_name.is_category == (id_ is None)


def test_build() -> None:
    assert StreamName.build("account") == "account"
    assert StreamName.build("account", 1) == "account-1"
    assert StreamName.build("account", 1, "b-c", types="command") == "account:command-1+b-c"
    assert StreamName.build("account", types=("snapshot", "v2")) == "account:snapshot+v2"


class Name(str, Enum):  # noqa: UP042
    """Not a `StrEnum`: `str()` of a member is `Name.STREAM`."""

    STREAM = "account-1"
    CATEGORY = "account"
    ID = "7"
    TYPE = "command"


class Made(StreamName, Enum):
    STREAM = "account-1"


class Number(int, Enum):
    ONE = 1


class Colour(Enum):
    RED = "red"
    NOTHING = None


def test_a_string_that_is_also_an_enum_is_its_value() -> None:
    for name in (Name.STREAM, Made.STREAM):
        stream_name = StreamName(name)
        assert (type(stream_name), f"{stream_name}") == (StreamName, "account-1")
    assert f"{StreamName.build(Name.CATEGORY)}" == "account"
    assert StreamName.build(Name.CATEGORY, Name.ID, 2, types=Name.TYPE) == "account:command-7+2"
    assert StreamName.build("a", types=(Name.TYPE, Name.CATEGORY)) == "a:command+account"


@pytest.mark.parametrize(
    ("id_", "text"),
    [
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Number.ONE, "1"),
        (Colour.RED, "red"),
        (date(2026, 1, 2), "2026-01-02"),
    ],
)
def test_an_id_is_the_text_of_its_value(id_: object, text: str) -> None:
    assert StreamName.build("account", id_) == f"account-{text}"


@pytest.mark.parametrize(
    ("id_", "kind"),
    [
        (None, "NoneType"),
        (True, "bool"),
        (1.0, "float"),
        (b"1", "bytes"),
        ([1], "list"),
        (object(), "object"),
        (Connection, "type"),
        (Colour.NOTHING, "Colour"),
    ],
)
def test_an_id_without_a_text_of_its_own_is_refused(id_: object, kind: str) -> None:
    with pytest.raises(InvalidStreamName, match=f"a string, an integer or a UUID, got .*{kind}"):
        StreamName.build("account", id_)


@pytest.mark.parametrize("name", ["", "-", "-1", "a\0b", "a-\ud800", None, 1])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidStreamName) as error:
        StreamName(name)

    assert error.value.value == name
    assert repr(name) in str(error.value)
    assert isinstance(name, str) or f"got {type(name).__name__}" in str(error.value)


@pytest.mark.parametrize(
    ("category", "ids", "types"),
    [
        ("", (), ()),
        ("a-b", (), ()),
        ("a:b", (), ()),
        ("a", ("1+2",), ()),
        ("a", ("",), ()),
        ("a", (), ("b-c",)),
        ("a", (), ("b+c",)),
        ("a", (), ("",)),
        ("a", (None,), ()),
        (5, (1,), ()),
    ],
)
def test_a_part_with_a_separator_is_refused(
    category: Any, ids: tuple[Any, ...], types: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidStreamName):
        StreamName.build(category, *ids, types=types)


parts = st.text(st.characters(exclude_characters="-+:\0", codec="utf-8"), min_size=1, max_size=6)


@given(parts, st.lists(parts, max_size=3), st.lists(parts, max_size=2))
def test_what_is_built_is_parsed_back(category: str, ids: list[str], types: list[str]) -> None:
    name = StreamName.build(category, *ids, types=tuple(types))

    assert (name.entity, list(name.types), list(name.ids)) == (category, types, ids)


names = st.text(st.sampled_from("ab-+:é 😀"), max_size=8).filter(lambda name: name[:1] not in "-")


def test_it_parses_as_the_server_does(connection: Connection) -> None:
    @given(names.map(StreamName))
    def check(name: StreamName) -> None:
        row = connection.execute(
            select(
                functions.category(name),
                functions.id(name),
                functions.cardinal_id(name),
                functions.is_category(name),
            )
        ).one()

        assert tuple(row) == (name.category, name.id, name.cardinal_id, name.is_category)

    check()
