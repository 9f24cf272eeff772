from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from mdb_sqla import (
    InvalidArgument,
    InvalidMessage,
    InvalidStreamName,
    Message,
    Metadata,
    NoReplyStream,
    StoredMessage,
)

ID = UUID(int=1)


def stored(metadata: Metadata) -> StoredMessage:
    return StoredMessage(ID, "account-1", "Opened", 3, 17, {}, metadata, datetime.now(UTC))


def test_ids_are_ordered_in_time() -> None:
    ids = [Message("T").id for _ in range(100)]

    assert [id_.version for id_ in ids] == [7] * 100
    assert sorted(ids) == ids


@pytest.mark.parametrize("type_", ["", None, 1, "a\0", "\ud800"])
def test_a_type_must_be_storable_text(type_: Any) -> None:
    with pytest.raises(InvalidMessage, match="the type must be a non-empty string"):
        Message(type_)


class Type(str, Enum):  # noqa: UP042
    OPENED = "Opened"


def test_a_type_that_is_also_an_enum_is_its_value() -> None:
    message = Message(Type.OPENED)

    assert (type(message.type), message.type) == (str, "Opened")
    assert message == Message("Opened", id=message.id)
    assert stored({}).derived_id(Type.OPENED) == stored({}).derived_id("Opened")


@pytest.mark.parametrize("name", ["", 4, None, "a\ud800"])
def test_the_name_of_a_derived_id_is_a_string(name: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"must be a non-empty string.*{type(name).__name__}"):
        stored({}).derived_id(name)


@pytest.mark.parametrize("preceding", [Message("T"), {"stream_name": "account-1"}, None])
@pytest.mark.parametrize("method", ["follow", "reply"])
def test_what_is_followed_is_a_message_that_was_read(method: str, preceding: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"StoredMessage.*{type(preceding).__qualname__}"):
        getattr(Message("Done"), method)(preceding)


def test_an_id_must_be_a_uuid() -> None:
    with pytest.raises(InvalidMessage, match=r"the id must be a uuid\.UUID, got 'x'"):
        Message("T", id="x")  # type: ignore[arg-type]  # what is tested


def test_metadata_must_be_a_mapping() -> None:
    with pytest.raises(InvalidMessage, match=r"the metadata must be a mapping, got \[1\]"):
        Message("T", metadata=[1])  # type: ignore[arg-type]  # what is tested


def test_follow_copies_where_it_comes_from_and_what_it_belongs_to() -> None:
    preceding = stored(
        {
            "causationMessageStreamName": "other-1",
            "causationMessagePosition": 1,
            "causationMessageGlobalPosition": 2,
            "correlationStreamName": "transfer-9",
            "replyStreamName": "client-5",
            "schemaVersion": "7",
            "properties": {"trace": "abc"},
            "localProperties": {"secret": 1},
        }
    )

    message = Message("Closed", {"x": 1}, {"schemaVersion": "2", "custom": True}).follow(preceding)

    assert message.metadata == {
        "causationMessageStreamName": "account-1",
        "causationMessagePosition": 3,
        "causationMessageGlobalPosition": 17,
        "correlationStreamName": "transfer-9",
        "replyStreamName": "client-5",
        "properties": {"trace": "abc"},
        "schemaVersion": "2",
        "custom": True,
    }
    assert message.data == {"x": 1}


def test_follow_keeps_its_own_where_the_preceding_message_has_none() -> None:
    message = Message("T", metadata={"correlationStreamName": "own-1"}).follow(stored({}))

    assert message.metadata == {
        "causationMessageStreamName": "account-1",
        "causationMessagePosition": 3,
        "causationMessageGlobalPosition": 17,
        "correlationStreamName": "own-1",
    }


def test_a_reply_goes_to_the_reply_stream_and_clears_it() -> None:
    preceding = stored({"replyStreamName": "client-5", "correlationStreamName": "transfer-9"})

    stream_name, message = Message("Done").reply(preceding)

    assert stream_name == "client-5"
    assert message.metadata == {
        "causationMessageStreamName": "account-1",
        "causationMessagePosition": 3,
        "causationMessageGlobalPosition": 17,
        "correlationStreamName": "transfer-9",
    }


def test_there_is_no_reply_without_a_reply_stream() -> None:
    with pytest.raises(NoReplyStream, match="message 3 of stream account-1"):
        Message("Done").reply(stored({}))


def test_metadata_of_another_client_may_be_anything() -> None:
    preceding = stored([1, 2])  # type: ignore[arg-type]  # what is tested

    assert set(Message("T").follow(preceding).metadata or {}) == {
        "causationMessageStreamName",
        "causationMessagePosition",
        "causationMessageGlobalPosition",
    }
    with pytest.raises(NoReplyStream):
        Message("T").reply(preceding)


def test_correlation_and_reply_stream_are_metadata_beside_the_rest() -> None:
    message = Message("Place", None, {"own": 1, "correlationStreamName": "old-1"})

    asking = message.with_correlation("fleet-1").with_reply_stream("fleet:reply-1")

    assert asking.metadata == {
        "own": 1,
        "correlationStreamName": "fleet-1",
        "replyStreamName": "fleet:reply-1",
    }
    assert (asking.id, asking.type) == (message.id, "Place")
    assert message.metadata == {"own": 1, "correlationStreamName": "old-1"}


@pytest.mark.parametrize("method", ["with_correlation", "with_reply_stream"])
def test_what_is_no_stream_name_is_no_correlation_and_no_reply_stream(method: str) -> None:
    with pytest.raises(InvalidStreamName):
        getattr(Message("Place"), method)("")


def test_a_derived_id_is_the_same_for_the_same_message_and_name() -> None:
    first, second = stored({}), stored({})._replace(id=UUID(int=2))

    assert first.derived_id("charge") == first.derived_id("charge")
    assert len({first.derived_id("charge"), first.derived_id("mail"), first.id}) == 3
    assert first.derived_id("charge") != second.derived_id("charge")
    assert first.derived_id("charge").version == 5
