from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

Query = list[dict[str, Any]]

COURSE: Query = [{"categories": ["course"], "tags": ["course:1"]}]
ENROLLED: Query = [
    {"categories": ["enrollment"], "types": ["Enrolled", "Withdrawn"], "tags": ["course:1"]},
    {"categories": ["enrollment"], "types": ["Enrolled"], "tags": ["student:1"]},
]
INVALID = "22023"


def failure(global_position: int, after: int) -> str:
    return (
        "Append condition failed: a message matches after the position that was read "
        f"(Global Position: {global_position}, After: {after})"
    )


@pytest.fixture(params=[0, 2_000], ids=["near", "far"])
def distance(request: pytest.FixtureRequest) -> int:
    """How far back a condition looks: tags of what lies far back are looked up in their index."""
    return int(request.param)


@pytest.fixture
def seen(client: Client, distance: int) -> int:
    """The position that was read, after which the messages come that a test writes."""
    seen = client.write_tagged("enrollment-0", "course:1", type="Enrolled")
    client.execute(
        "SELECT setval('message_store.messages_global_position_seq', :last)", last=seen + distance
    )
    return seen


OTHERS = [
    ("enrollment-1", "Enrolled", ["course:2", "student:2"]),
    ("enrollment-1", "Withdrawn", ["student:1"]),
    ("enrollment-1", "Noted", ["course:1"]),
    ("enrollments-1", "Enrolled", ["course:1"]),
    ("course-1", "Enrolled", ["course:1"]),
    ("enrollment-1", "Enrolled", []),
]
MATCHES = [
    ("enrollment-1", "Enrolled", ["course:1"]),
    ("enrollment-1", "Withdrawn", ["other", "course:1"]),
    ("enrollment-1", "Enrolled", ["course:2", "student:1"]),
    ("enrollment", "Enrolled", ["course:1"]),
]


def test_nothing_but_what_was_seen(client: Client, seen: int) -> None:
    (written,) = client.write_conditionally("enrollment-1", unless=[(ENROLLED, seen)])

    assert written[0] == 0
    assert client.message_count() == 2


@pytest.mark.parametrize(("stream_name", "type_", "tags"), OTHERS)
def test_others_do_not_match(
    client: Client, seen: int, stream_name: str, type_: str, tags: list[str]
) -> None:
    client.write_tagged(stream_name, *tags, type=type_)

    assert len(client.write_conditionally("enrollment-9", unless=[(ENROLLED, seen)])) == 1


@pytest.mark.parametrize(("stream_name", "type_", "tags"), MATCHES)
@pytest.mark.parametrize("idempotent", [True, False])
def test_a_match_is_refused(
    client: Client, seen: int, stream_name: str, type_: str, tags: list[str], idempotent: bool
) -> None:
    client.write_tagged("enrollment-1", "course:2", type="Enrolled")
    first = client.write_tagged(stream_name, *tags, type=type_)
    client.write_tagged(stream_name, *tags, type=type_)
    number = client.message_count()

    for messages in (["enrollment-9"], ["enrollment-9", "invoice-1"], []):
        with client.refused("append_condition_failed", failure(first, seen)) as caught:
            client.write_conditionally(*messages, unless=[(ENROLLED, seen)], idempotent=idempotent)
        error: Any = caught.value.orig
        assert json.loads(error.diag.message_detail) == {"global_position": first, "after": seen}

    assert client.message_count() == number


def test_what_was_seen_includes_its_position(client: Client, seen: int) -> None:
    with client.refused("append_condition_failed", failure(seen, seen - 1)):
        client.write_conditionally("enrollment-1", unless=[(ENROLLED, seen - 1)])


def test_all_conditions_must_be_met(client: Client, seen: int) -> None:
    course = client.write_tagged("course-1", "course:1")

    for unless in ([(ENROLLED, seen), (COURSE, seen)], [(COURSE, seen), (ENROLLED, seen)]):
        with client.refused("append_condition_failed", failure(course, seen)):
            client.write_conditionally("enrollment-1", unless=unless)
    met = [(ENROLLED, seen), (COURSE, course)]
    assert len(client.write_conditionally("enrollment-1", unless=met)) == 1


def test_the_first_condition_that_is_not_met_is_named(client: Client, seen: int) -> None:
    course = client.write_tagged("course-1", "course:1")
    enrolled = client.write_tagged("enrollment-1", "course:1", type="Enrolled")

    with client.refused("append_condition_failed", failure(enrolled, seen)):
        client.write_conditionally("a-1", unless=[(ENROLLED, seen), (COURSE, seen)])
    with client.refused("append_condition_failed", failure(course, seen)):
        client.write_conditionally("a-1", unless=[(COURSE, seen), (ENROLLED, seen)])


def test_messages_of_the_same_call_do_not_count(client: Client, seen: int) -> None:
    enrolled = {"stream_name": "enrollment-1", "type": "Enrolled"}
    enrolled |= {"metadata": {"tags": ["course:1"]}}  # type: ignore[dict-item]

    written = client.write_conditionally(enrolled, enrolled, unless=[(ENROLLED, seen)])

    assert [position for position, _ in written] == [0, 1]


def test_messages_of_the_same_transaction_count(client: Client, seen: int) -> None:
    own = client.write_tagged("enrollment-1", "course:1", type="Enrolled")

    with client.refused("append_condition_failed", failure(own, seen)):
        client.write_conditionally("enrollment-1", unless=[(ENROLLED, seen)])
    assert len(client.write_conditionally("enrollment-1", unless=[(ENROLLED, own)])) == 1


def test_deleted_messages_do_not_count(client: Client, seen: int) -> None:
    deleted = client.write_tagged("enrollment-1", "course:1", type="Enrolled")
    client.call("delete_messages", [deleted])

    assert client.write_conditionally("enrollment-1", unless=[(ENROLLED, seen)])[0][0] == 1


def test_erased_messages_have_no_tags(client: Client, seen: int) -> None:
    client.write_tagged("enrollment-1", "course:1", type="Enrolled")
    client.call("erase_stream", "enrollment-1", "requested")

    assert len(client.write_conditionally("enrollment-1", unless=[(ENROLLED, seen)])) == 1
    by_type: Query = [{"categories": ["enrollment"], "types": ["Enrolled"]}]
    with client.refused("append_condition_failed"):
        client.write_conditionally("enrollment-1", unless=[(by_type, seen)])


def test_position_that_the_store_has_not_reached(client: Client, seen: int) -> None:
    last = client.call("last_global_position")
    refusal = (
        "Append condition failed: the store has not reached the position that was read "
        f"(After: {last + 1})"
    )

    with client.refused("append_condition_failed", refusal):
        client.write_conditionally("enrollment-1", unless=[(ENROLLED, last + 1)])
    assert len(client.write_conditionally("enrollment-1", unless=[(ENROLLED, last)])) == 1


def test_expected_versions_are_checked_too(client: Client, seen: int) -> None:
    unless = [(COURSE, seen)]

    with client.refused("wrong_expected_version"):
        client.write_conditionally("a-1", unless=unless, expected_versions={"a-1": 0})
    assert client.write_conditionally("a-1", unless=unless, expected_versions={"a-1": -1})
    # Of streams that are only read, too.
    with client.refused("wrong_expected_version"):
        client.write_conditionally("a-2", unless=unless, expected_versions={"a-1": 1})


def message(stream_name: str) -> dict[str, Any]:
    metadata = {"tags": ["course:1"]}
    return {"id": str(uuid4()), "stream_name": stream_name, "type": "Enrolled"} | {
        "metadata": metadata
    }


def test_repeated_messages_are_stored_once(client: Client, seen: int) -> None:
    messages = [message("enrollment-1"), message("enrollment-2")]
    for batch in (messages[:1], messages):
        written = client.write_conditionally(*batch, unless=[(ENROLLED, seen)])
        for expected in ({"enrollment-1": 7}, None):
            again = client.write_conditionally(
                *batch, unless=[(ENROLLED, seen)], expected_versions=expected
            )
            assert again == written
        seen = written[-1][1]
        messages = [message("enrollment-3"), message("enrollment-4")]


def test_a_part_that_is_stored_is_no_repeat(client: Client, seen: int) -> None:
    first, second = message("enrollment-1"), message("enrollment-2")
    ((_, stored),) = client.write_conditionally(first, unless=[(ENROLLED, seen)])

    with client.refused("append_condition_failed", failure(stored, seen)):
        client.write_conditionally(first, second, unless=[(ENROLLED, seen)])
    written = client.write_conditionally(first, second, unless=[(ENROLLED, stored)])
    assert [position for position, _ in written] == [0, 0]


def test_repeats_are_refused_unless_idempotent(client: Client, seen: int) -> None:
    first = message("enrollment-1")
    ((_, stored),) = client.write_conditionally(first, unless=[(ENROLLED, seen)])

    with client.refused("append_condition_failed", failure(stored, seen)):
        client.write_conditionally(first, unless=[(ENROLLED, seen)], idempotent=False)


def test_id_of_another_message(client: Client, seen: int) -> None:
    first = message("enrollment-1")
    client.write_conditionally(first, unless=[(ENROLLED, seen)])

    with client.refused("duplicate_message_id"):
        client.write_conditionally(first | {"type": "Other"}, unless=[(ENROLLED, seen)])


def test_no_conditions(client: Client) -> None:
    assert client.write_conditionally("a-1", unless=[])[0][0] == 0


@pytest.mark.parametrize(
    ("conditions", "refusal"),
    [
        (None, "Append conditions must be a list: <NULL>"),
        ("{}", "Append conditions must be a list: {}"),
        ("[1]", "An append condition must have a query"),
        ('[{"query": [{"categories": ["a"]}]}]', "An append condition must have a query"),
        ('[{"query": [{"categories": ["a"]}], "after": null}]', "An append condition must have"),
        ('[{"query": [{"categories": ["a"]}], "after": -1}]', "An append condition must have"),
        ('[{"query": [{"categories": ["a"]}], "after": 1.5}]', "An append condition must have"),
        ('[{"query": [{"categories": ["a"]}], "after": 0, "to": 9}]', "An append condition must"),
        ('[{"after": 0}]', "A query must be a list of items: <NULL>"),
        ('[{"query": [], "after": 0}]', "A query must be a list of items"),
        ('[{"query": [{"tags": ["t"]}], "after": 0}]', "must have a list of categories"),
    ],
)
def test_invalid_conditions(client: Client, conditions: str | None, refusal: str) -> None:
    with client.refused(INVALID) as caught:
        client.read("write_conditionally", "[]", conditions)

    assert refusal in str(caught.value)


def test_stream_name_in_a_condition(client: Client) -> None:
    query: Query = [{"categories": ["account-1"]}]

    with client.refused("not_a_category", "Must be a category: account-1"):
        client.write_conditionally("a-1", unless=[(query, 0)])


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_old_snapshot_is_refused(open_any_client: OpenClient, isolation_level: str) -> None:
    """It is taken before the locks, and would not show what their last holders wrote."""
    client = open_any_client(isolation_level)
    level = isolation_level.lower()

    with client.refused(
        "read_not_exact",
        f"Append conditions must be checked at isolation level read committed (Isolation Level: "
        f"{level})",
    ):
        client.write_conditionally("enrollment-1", unless=[(ENROLLED, 0)])


def test_autocommit(open_any_client: OpenClient) -> None:
    client = open_any_client("AUTOCOMMIT")

    ((_, written),) = client.write_conditionally(message("a-1"), unless=[(ENROLLED, 0)])
    client.write_conditionally(message("enrollment-1"), unless=[(ENROLLED, written)])
    with pytest.raises(DBAPIError, match="Append condition failed: a message matches"):
        client.write_conditionally("enrollment-1", unless=[(ENROLLED, written)])
