from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

NOT_NULL_VIOLATION = "23502"
INVALID_TEXT_REPRESENTATION = "22P02"

BAD_MESSAGES: dict[str, tuple[dict[str, Any], str]] = {
    "without an id": ({"id": None}, NOT_NULL_VIOLATION),
    "id that is no UUID": ({"id": "no uuid"}, INVALID_TEXT_REPRESENTATION),
    "without a stream name": ({"stream_name": None}, NOT_NULL_VIOLATION),
    "without a type": ({"type": None}, NOT_NULL_VIOLATION),
}


@pytest.mark.parametrize("bad", BAD_MESSAGES)
@pytest.mark.parametrize("idempotent", [True, False])
def test_bad_message_is_refused_with_all_others(client: Client, bad: str, idempotent: bool) -> None:
    changes, sqlstate = BAD_MESSAGES[bad]
    message = {"stream_name": "account-1"} | changes

    with client.refused(sqlstate):
        client.write_batch("account-1", "shop-1", message, "account-2", idempotent=idempotent)

    assert client.message_count() == 0


@pytest.mark.parametrize(
    ("document", "sqlstate"),
    [
        ("{}", "22023"),
        ("5", "22023"),
        ("null", "22023"),
        ('["text"]', NOT_NULL_VIOLATION),
        ("[5]", NOT_NULL_VIOLATION),
        ("[null]", NOT_NULL_VIOLATION),
        ("[[]]", NOT_NULL_VIOLATION),
        ("[{}]", NOT_NULL_VIOLATION),
        ("no json", INVALID_TEXT_REPRESENTATION),
    ],
)
def test_document_that_is_no_array_of_messages_is_refused(
    client: Client, document: str, sqlstate: str
) -> None:
    with client.refused(sqlstate):
        client.read("write_messages", document)


@pytest.mark.parametrize(
    ("expected_versions", "sqlstate"),
    [
        ('{"account-1": "x"}', INVALID_TEXT_REPRESENTATION),
        ('{"account-1": 1.5}', INVALID_TEXT_REPRESENTATION),
        ("[]", "22023"),
        ("5", "22023"),
    ],
)
def test_expected_versions_that_are_none_are_refused(
    client: Client, expected_versions: str, sqlstate: str
) -> None:
    with client.refused(sqlstate):
        client.read(
            "write_messages",
            f'[{{"id": "{uuid4()}", "stream_name": "account-1", "type": "Opened"}}]',
            expected_versions,
        )

    assert client.message_count() == 0


def test_refused_batch_takes_no_position(client: Client) -> None:
    with client.refused(NOT_NULL_VIOLATION):
        client.write_batch("account-1", {"stream_name": "account-1", "type": None})

    assert [position for position, _ in client.write_batch("account-1")] == [0]
