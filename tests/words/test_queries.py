"""Queries, append conditions and tags."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from mdb_sqla import (
    AppendCondition,
    InvalidArgument,
    InvalidMessage,
    InvalidStreamName,
    Message,
    Query,
    QueryResult,
    StoredMessage,
)


class Enrolled:
    pass


COURSE = Query(categories=["enrollment"], types=[Enrolled, "Withdrawn"], tags=["course:1"])
STUDENT = Query(categories=["enrollment", "student"], tags=["student:1"])


def test_items() -> None:
    (item,) = COURSE.items

    assert item == (("enrollment",), (Enrolled, "Withdrawn"), ("course:1",))
    assert (COURSE | STUDENT).items == COURSE.items + STUDENT.items
    assert (COURSE | STUDENT).categories == {"enrollment", "student"}
    assert Query(categories=["a"]).items == ((("a",), None, ()),)


def test_what_is_given_twice_counts_once() -> None:
    assert COURSE | COURSE == COURSE
    query = Query(categories=["a", "a"], types=["T", "T"], tags=["t", "t"])
    assert query == Query(categories=("a",), types=("T",), tags=("t",))


def test_equality() -> None:
    assert COURSE | STUDENT == COURSE | STUDENT
    assert hash(COURSE | STUDENT) == hash(COURSE | STUDENT)
    assert COURSE != STUDENT
    assert COURSE != "enrollment"
    assert COURSE.after(1) == AppendCondition(COURSE, 1)
    assert COURSE.after(1) != COURSE.after(2)


def test_representation_is_the_source() -> None:
    assert repr(COURSE | STUDENT) == (
        "Query(categories=['enrollment'], types=[Enrolled, 'Withdrawn'], tags=['course:1']) | "
        "Query(categories=['enrollment', 'student'], tags=['student:1'])"
    )


def test_queries_and_conditions_can_be_pickled() -> None:
    condition = (COURSE | STUDENT).after(7)

    assert pickle.loads(pickle.dumps(condition)) == condition


def test_only_queries_can_be_combined() -> None:
    with pytest.raises(TypeError):
        COURSE | "enrollment"


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({"categories": "enrollment"}, r"categories must be a list, got 'enrollment' \(str\)"),
        ({"categories": []}, r"categories must have at least one element, got \[\] \(list\)"),
        ({"categories": None}, r"categories must be a list, got None"),
        ({"categories": ["a"], "types": "T"}, r"types must be a list, got 'T' \(str\)"),
        ({"categories": ["a"], "types": Enrolled}, r"types must be a list, got <class "),
        ({"categories": ["a"], "types": []}, r"types must have at least one element"),
        ({"categories": ["a"], "types": [1]}, r"a message type must be a non-empty string.*got 1 "),
        ({"categories": ["a"], "types": [""]}, r"a message type must be a non-empty string"),
        ({"categories": ["a"], "tags": "t"}, r"tags must be a list of strings, got 't' \(str\)"),
        ({"categories": ["a"], "tags": None}, r"tags must be a list of strings, got None"),
        ({"categories": ["a"], "tags": [""]}, r"a tag must be a non-empty string.*got '' \(str\)"),
        ({"categories": ["a"], "tags": [7]}, r"a tag must be a non-empty string.*got 7 \(int\)"),
        ({"categories": ["a"], "tags": ["\0"]}, r"a tag must be a non-empty string without NUL"),
    ],
)
def test_invalid_arguments(arguments: dict[str, Any], refusal: str) -> None:
    with pytest.raises(InvalidArgument, match=refusal):
        Query(**arguments)


@pytest.mark.parametrize("name", ["enrollment-1", "", 7, ["a"]])
def test_invalid_categories(name: Any) -> None:
    with pytest.raises(InvalidStreamName):
        Query(categories=["course", name])
    with pytest.raises(InvalidStreamName, match="must be a category, such as 'a', not a stream"):
        Query(categories=["a-1"])


def result_of(query: Query, position: int = 7) -> QueryResult:
    time = datetime(2026, 1, 1, tzinfo=UTC)
    message = StoredMessage(uuid4(), "enrollment-1", "Enrolled", 0, 5, {}, {}, time)
    return QueryResult(query, [message], position)


def test_condition_after_a_result() -> None:
    assert COURSE.after(result_of(COURSE)) == COURSE.after(7)
    assert COURSE.after(result_of(COURSE | STUDENT)) == COURSE.after(7)


def test_condition_on_a_category_that_was_not_read() -> None:
    """Its messages up to the position may not have been committed when it was read."""
    with pytest.raises(
        InvalidArgument,
        match=r"Category 'student' of the condition was not read: .* for enrollment$",
    ):
        (COURSE | STUDENT).after(result_of(COURSE))


@pytest.mark.parametrize("position", [-1, 1.5, "7", None, True, 2**63])
def test_invalid_positions(position: Any) -> None:
    with pytest.raises(InvalidArgument, match="position must be an integer of at least 0, got"):
        COURSE.after(position)


def test_condition_without_a_query() -> None:
    with pytest.raises(InvalidArgument, match=r"query must be an instance of mdb_sqla\.Query"):
        AppendCondition("enrollment", 7)  # type: ignore[arg-type]


def test_result_is_a_sequence() -> None:
    result = result_of(COURSE)

    assert len(result) == 1
    assert [*result] == [result[0]] == result[:] == [*reversed(result)]
    assert result[0] in result
    assert repr(result) == "<QueryResult of 1 messages up to position 7>"


def test_tags_are_added_to_those_of_the_message() -> None:
    message = Message("Enrolled", metadata={"tags": ["course:1"], "schemaVersion": "2"})
    tagged = message.with_tags("student:1", "course:1").with_tags()

    assert tagged.metadata == {"tags": ["course:1", "student:1"], "schemaVersion": "2"}
    assert tagged.id == message.id
    assert message.metadata == {"tags": ["course:1"], "schemaVersion": "2"}
    assert Message("Enrolled").with_tags("a").metadata == {"tags": ["a"]}
    assert Message("Enrolled", metadata={"tags": None}).with_tags("a").metadata == {"tags": ["a"]}


@pytest.mark.parametrize("tag", ["", None, 7, "\0", "\ud800"])
def test_invalid_tags(tag: Any) -> None:
    with pytest.raises(InvalidArgument, match="a tag must be a non-empty string"):
        Message("Enrolled").with_tags("a", tag)


@pytest.mark.parametrize("tags", ["course:1", {"course:1": 1}, [1], 7])
def test_metadata_with_something_else_under_the_key(tags: Any) -> None:
    message = Message("Enrolled", metadata={"tags": tags})

    with pytest.raises(InvalidArgument, match=r"metadata\['tags'\] must be a list of strings, got"):
        message.with_tags("a")


def test_messages_that_follow_have_no_tags() -> None:
    (preceding,) = result_of(COURSE)
    tagged = preceding._replace(metadata={"tags": ["course:1"]})

    assert "tags" not in (Message("Noted").follow(tagged).metadata or {})


def test_invalid_message_is_not_what_is_raised_for_tags() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Message("Enrolled", metadata={"tags": 7}).with_tags("a")
    assert not isinstance(caught.value, InvalidMessage)
