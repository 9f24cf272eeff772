"""What a unit of work expects of the streams that it writes to and of those it has only read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mdb_sqla import (
    NO_STREAM,
    InvalidArgument,
    InvalidStreamName,
    Message,
    MessagePosition,
    NotCommitted,
    WrongExpectedVersion,
    expect_on_commit,
)


@pytest.fixture
def unit(flavour: Any, committed: Any) -> Iterator[Any]:
    committed.write("account-1", Message("Opened"))
    with flavour.session() as session, flavour.unit_of_work(session) as unit:
        yield unit


def refused(flavour: Any, unit: Any, committed: Any, *values: Any) -> None:
    with pytest.raises(WrongExpectedVersion) as caught:
        flavour.run(unit.commit())
    error = caught.value
    assert (error.stream_name, error.expected_version, error.stream_version) == values
    assert f"{values[1]} (Stream: {values[0]}, Stream Version: {values[2]})" in str(error)
    flavour.run(unit.rollback())
    assert committed.messages() == [("account-1", "Opened", 0)]


def test_of_a_stream_that_was_only_read(flavour: Any, unit: Any, committed: Any) -> None:
    unit.expect("account-1", 0)
    unit.expect("account-2", NO_STREAM)
    unit.write("transfer-1", Message("Requested"))
    flavour.run(unit.commit())

    assert committed.messages()[1:] == [("transfer-1", "Requested", 0)]


@pytest.mark.parametrize(("stream_name", "version"), [("account-1", NO_STREAM), ("account-2", 0)])
@pytest.mark.parametrize("writes", [True, False])
def test_that_has_moved_on(
    flavour: Any, unit: Any, committed: Any, stream_name: str, version: int, writes: bool
) -> None:
    if writes:
        unit.write("transfer-1", Message("Requested"))
    unit.expect(stream_name, version)

    refused(flavour, unit, committed, stream_name, version, -1 - version)


def test_expectations_are_forgotten_with_a_rollback(
    flavour: Any, unit: Any, committed: Any
) -> None:
    unit.expect("account-1", 7)
    flavour.run(unit.rollback())
    unit.write("account-1", Message("Renamed"))
    flavour.run(unit.commit())

    assert len(committed.messages()) == 2


def test_each_write_may_expect_what_the_last_one_left(
    flavour: Any, unit: Any, committed: Any
) -> None:
    unit.write("account-1", Message("A"))
    unit.write("account-1", [Message("B"), Message("C")], expected_version=1)
    last = unit.write("account-1", Message("D"), expected_version=3)
    flavour.run(unit.commit())

    assert last.position == 4
    assert [type_ for _, type_, _ in committed.messages()] == ["Opened", "A", "B", "C", "D"]


@pytest.mark.parametrize("first", [None, 0])
@pytest.mark.parametrize("second", [0, 7])
def test_one_of_several_writes_is_wrong(
    flavour: Any, unit: Any, committed: Any, first: int | None, second: int
) -> None:
    unit.write("account-1", Message("A"), expected_version=first)
    unit.write("account-1", Message("B"), expected_version=second)

    refused(flavour, unit, committed, "account-1", second, 1)


@pytest.mark.parametrize("first", ["expect", "write"])
def test_the_order_of_expecting_and_writing_does_not_matter(
    flavour: Any, unit: Any, committed: Any, first: str
) -> None:
    if first == "expect":
        unit.expect("account-1", 0)
    unit.write("account-1", Message("A"))
    if first == "write":
        unit.expect("account-1", 0)
    flavour.run(unit.commit())

    assert len(committed.messages()) == 2


def test_a_message_that_is_handed_in_twice_counts_once(flavour: Any, unit: Any) -> None:
    message = Message("A")
    unit.write("account-1", message)
    unit.write("account-1", message)
    last = unit.write("account-1", Message("B"), expected_version=1)
    flavour.run(unit.commit())

    assert last.position == 2


def test_positions_of_every_message(flavour: Any, unit: Any) -> None:
    one = unit.write("account-1", [Message("A"), Message("B")])
    other = unit.write("transfer-1", Message("C"))
    with pytest.raises(NotCommitted):
        one.positions  # noqa: B018
    flavour.run(unit.commit())

    assert list(one.positions) == [MessagePosition(1, 2), MessagePosition(2, 3)]
    assert list(other.positions) == [MessagePosition(0, 4)]


def test_a_unit_of_work_that_is_run_again_writes_nothing_twice(
    flavour: Any, unit: Any, committed: Any
) -> None:
    message = Message("Requested")
    positions = []
    for _ in range(2):
        pending = unit.write("transfer-1", message, expected_version=NO_STREAM)
        flavour.run(unit.commit())
        positions.append(list(pending.positions))

    assert positions[0] == positions[1]
    assert committed.messages()[1:] == [("transfer-1", "Requested", 0)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(("", 0), InvalidStreamName), (("a-1", -2), InvalidArgument), (("a-1", "0"), InvalidArgument)],
)
def test_bad_expectations(unit: Any, arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(
        error, match=repr(arguments[0] if error is InvalidStreamName else arguments[1])
    ):
        unit.expect(*arguments)


def test_a_session_is_needed() -> None:
    session: Any = object()
    with pytest.raises(InvalidArgument, match="Session"):
        expect_on_commit(session, "a-1", 0)
