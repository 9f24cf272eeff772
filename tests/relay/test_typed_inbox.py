"""Received messages as objects of message types."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from faststream.message import StreamMessage
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    Consumer,
    DecodingFailed,
    Inbox,
    InvalidArgument,
    MessageStore,
    MessageTypes,
    StoredMessage,
    UnitOfWork,
    UnknownMessageType,
)


@dataclass(frozen=True)
class Placed:
    total: int


def in_euros(data: Any) -> Any:
    return {"total": data["cents"] // 100}


types = MessageTypes(Placed, {"Ordered": Placed}, upcasters={Placed: [in_euros]})


def received(type_: str, data: Any, version: str | None = None, *, relayed: bool = True) -> Any:
    """A message as FastStream passes it to a subscriber."""
    headers = {"message_id": str(uuid4()), "message_type": type_}
    if relayed:
        headers |= {
            "stream_name": "order-7",
            "position": "3",
            "global_position": "41",
            "time": "2026-01-02T03:04:05+00:00",
            "metadata": json.dumps({} if version is None else {"schemaVersion": version}),
        }
    return StreamMessage[Any](None, json.dumps(data).encode(), headers=headers)


INBOX = Inbox("shipping:order", types=types)


@pytest.mark.parametrize(
    "message",
    [
        received("Placed", {"total": 12}, "2"),
        received("Ordered", {"total": 12}, "2"),
        received("Placed", {"cents": 1200}, "1"),
        received("Placed", {"cents": 1200}),
        received("Placed", {"cents": 1200}, relayed=False),
    ],
)
def test_a_message_is_an_object(engine: Engine, message: Any) -> None:
    with Session(engine) as session, session.begin():
        assert INBOX.receive(session, message)
        assert INBOX.decode(message) == Placed(12)
        assert not INBOX.receive(session, message)
        assert INBOX.decode(message) == Placed(12)


def test_consumers_get_the_same_object(engine: Engine) -> None:
    """What was stored has the version of the schema that the data has."""
    with Session(engine) as session, session.begin():
        INBOX.receive(session, received("Placed", {"total": 12}, "2"))
        INBOX.receive(session, received("Placed", {"cents": 1300}))
    consumer = Consumer("shipping", "shipping:order", types=types)
    seen: list[Placed] = []

    @consumer.on(Placed)
    def ship(placed: Placed, message: StoredMessage, unit: UnitOfWork) -> None:
        seen.append(placed)

    consumer.catch_up(sessionmaker(engine))

    assert seen == [Placed(12), Placed(13)]


@pytest.mark.parametrize(
    ("message", "error", "text"),
    [
        (
            received("Placed", {"total": "much"}, "2"),
            DecodingFailed,
            "Message 41 of type 'Placed', position 3 of stream order-7, is not a valid .*total",
        ),
        (
            received("Placed", {}, relayed=False),
            DecodingFailed,
            "Message [0-9a-f-]{36} of type 'Placed', for stream shipping:order-.*, is not a valid",
        ),
        (received("Placed", {"total": 1}, "3"), DecodingFailed, "schemaVersion is 3, but the curr"),
        (received("Sent", {}), UnknownMessageType, "stream order-7, has the unknown type 'Sent'"),
    ],
)
def test_what_can_not_be_decoded_is_not_received(
    engine: Engine, message: Any, error: type[Exception], text: str
) -> None:
    def receive() -> None:
        with Session(engine) as session, session.begin():
            INBOX.receive(session, message)
            INBOX.decode(message)

    with pytest.raises(error, match=text):
        receive()

    with Session(engine) as session:
        assert MessageStore(session).read_category("shipping:order") == []


def test_without_types() -> None:
    with pytest.raises(InvalidArgument, match="has no message types: pass it types="):
        Inbox("shipping").decode(received("Placed", {}))
    wrong: Any = [Placed]
    with pytest.raises(InvalidArgument, match="types must be an instance of"):
        Inbox("shipping", types=wrong)
