"""What a subscriber receives is kept once, together with the application's own rows."""

from __future__ import annotations

import json
import threading
from typing import Any
from uuid import uuid4

import pytest
from faststream import AckPolicy
from faststream.message import StreamMessage
from faststream.nats import NatsBroker
from faststream.nats.annotations import NatsMessage
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from mdb_sqla import Inbox, InvalidArgument, InvalidStreamName, Message, MessageStore, StoredMessage
from tests.relay.conftest import until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def received(body: Any = None, **headers: str) -> StreamMessage[Any]:
    encoded = json.dumps({"total": 120} if body is None else body).encode()
    return StreamMessage(
        None, encoded, headers={name.replace("__", "-"): value for name, value in headers.items()}
    )


def read(engine: Engine, stream_name: str) -> list[Any]:
    with engine.connect() as connection:
        return MessageStore(connection).read_stream(stream_name)


def _written(engine: Engine, stream_name: str, message: Message) -> list[StoredMessage]:
    with engine.begin() as connection:
        MessageStore(connection).write(stream_name, message)
    return read(engine, stream_name)


def test_what_a_relay_published_follows_it(engine: Engine) -> None:
    id_ = uuid4()
    told = received(
        message_id=str(id_),
        message_type="Pl%C3%A4ced",
        stream_name="order-7+a",
        position="3",
        global_position="41",
        time="2026-01-02T03:04:05.000006+00:00",
        metadata=json.dumps(
            {
                "correlationStreamName": "fleet-1",
                "local": 1,
                "properties": {"tenant": "x", "traceparent": TRACE.replace("-b7", "-a0")},
            }
        ),
        traceparent=TRACE,
    )
    with Session(engine) as session:
        assert Inbox("shipping:order").receive(session, told)
        session.commit()

    (kept,) = read(engine, "shipping:order-7+a")
    assert kept.type == "Pläced"
    assert kept.data == {"total": 120}
    assert kept.id != id_
    assert kept.metadata == {
        "causationMessageStreamName": "order-7+a",
        "causationMessagePosition": 3,
        "causationMessageGlobalPosition": 41,
        "correlationStreamName": "fleet-1",
        "properties": {"tenant": "x", "traceparent": TRACE},
    }


@pytest.mark.parametrize("prefix", ["ce-", "ce_", "cloudEvents:", "cloudEvents_"])
def test_a_cloud_event_of_somebody_else(engine: Engine, prefix: str) -> None:
    headers = {f"{prefix}id": "A-1", f"{prefix}source": "/x", f"{prefix}type": "com.example.Sent"}
    inbox = Inbox("shipping")
    with Session(engine) as session:
        assert inbox.receive(session, received(**headers))
        assert not inbox.receive(session, received(**headers))
        assert inbox.receive(session, received(**{**headers, f"{prefix}source": "/y"}))
        session.commit()

    with Session(engine) as session:
        kept = MessageStore(session).read_category("shipping")
    assert [message.type for message in kept] == ["com.example.Sent"] * 2
    assert len({message.stream_name for message in kept}) == 2


def test_a_repeat_is_recognised_by_its_id(engine: Engine) -> None:
    id_ = str(uuid4())
    inbox = Inbox("shipping")
    with Session(engine) as session:
        assert inbox.receive(session, received(message_id=id_))
        session.commit()
    with Session(engine) as session:
        session.execute(text("CREATE TABLE own (n int)"))
        # Another attempt has another trace; the transaction goes on.
        assert not inbox.receive(session, received(message_id=id_, traceparent=TRACE))
        session.execute(text("INSERT INTO own VALUES (1)"))
        session.commit()

    assert len(read(engine, f"shipping-{id_}")) == 1
    with Session(engine) as session:
        assert Inbox("billing").receive(session, received(message_id=id_))
        assert session.scalar(text("SELECT count(*) FROM own")) == 1


def test_what_is_rolled_back_was_not_received(engine: Engine) -> None:
    told = received(message_id=str(uuid4()))
    inbox = Inbox("shipping")
    with Session(engine) as session:
        assert inbox.receive(session, told)
        session.rollback()
        assert inbox.receive(session, told)


def test_two_receive_the_same_at_once(engine: Engine) -> None:
    told = received(message_id=str(uuid4()))
    inbox = Inbox("shipping")
    answers: list[bool] = []

    def receive() -> None:
        with Session(engine) as session:
            answers.append(inbox.receive(session, told))
            session.commit()

    with Session(engine) as session:
        assert inbox.receive(session, told)
        other = threading.Thread(target=receive)
        other.start()
        other.join(0.2)
        assert answers == []  # it waits for what becomes of the first
        session.commit()
    other.join(20)
    assert answers == [False]


def test_a_message_that_was_derived_from_it_is_no_repeat(engine: Engine) -> None:
    """As where a handler in the same store writes it under the name of the inbox."""
    (published,) = _written(engine, "order-1", Message("Placed"))
    _written(engine, "invoice-1", Message("Sent", id=published.derived_id("shipping")))
    with Session(engine) as session:
        assert Inbox("shipping").receive(session, received(message_id=str(published.id)))


def test_sources_and_ids_with_number_signs(engine: Engine) -> None:
    inbox = Inbox("shipping")
    with Session(engine) as session:
        assert inbox.receive(session, received(ce_source="/a", ce_id="b#c"))
        assert inbox.receive(session, received(ce_source="/a#b", ce_id="c"))


def test_an_id_is_that_of_its_source(engine: Engine) -> None:
    inbox, id_ = Inbox("shipping"), str(uuid4())
    with Session(engine) as session:
        assert inbox.receive(session, received(ce_source="/a", ce_id=id_))
        assert inbox.receive(session, received(ce_source="/b", ce_id=id_))
        assert not inbox.receive(session, received(ce_source="/b", ce_id=id_))
        assert inbox.receive(session, received(ce_source="/d", ce_id=id_, message_id=""))
        assert inbox.receive(session, received(ce_source="/a", message_id="77"))
        assert inbox.receive(session, received(ce_source="/b", message_id="77"))
        # What a relay publishes has the same id with and without the attributes of CloudEvents.
        both = received(ce_source="/c", ce_id=id_, message_id=id_)
        assert inbox.receive(session, both)
        assert not inbox.receive(session, received(message_id=id_))


def test_headers_of_somebody_else_may_be_anything(engine: Engine) -> None:
    headers = {"message_id": str(uuid4()), "x": b"\xff", "traceparent": None, "n": 7}
    with Session(engine) as session:
        assert Inbox("shipping").receive(session, StreamMessage(None, b"1", headers=headers))
        (kept,) = MessageStore(session).read_category("shipping")
    assert kept.metadata == {}


@pytest.mark.parametrize("metadata", ["{", "[" * 100_000], ids=["no JSON", "too deep"])
def test_metadata_that_can_not_be_decoded(engine: Engine, metadata: str) -> None:
    """It is what somebody else has sent, and no relay."""
    at = {"stream_name": "order-1", "position": "0", "global_position": "1"}
    headers = {"message_id": str(uuid4()), "time": "2020-01-01T00:00:00Z", **at}
    with Session(engine) as session:
        assert Inbox("shipping").receive(session, received(**headers, metadata=metadata))
        (kept,) = MessageStore(session).read_category("shipping")
    assert kept.stream_name == f"shipping-{headers['message_id']}"


@pytest.mark.parametrize("body", [b"[1, 2]", [b"1", b"2"]])
def test_a_batch_is_not_taken_for_its_first_message(engine: Engine, body: Any) -> None:
    headers = [{"message_id": str(uuid4())} for _ in range(2)]
    batch = StreamMessage(None, body, headers=headers[0], batch_headers=headers)
    with Session(engine) as session, pytest.raises(InvalidArgument, match="can't receive a batch"):
        Inbox("shipping").receive(session, batch)


def test_what_can_not_be_kept(engine: Engine) -> None:
    with Session(engine) as session:
        with pytest.raises(InvalidArgument, match=r"no id .* its headers \(a, b\)"):
            Inbox("shipping").receive(session, received(a="1", b="2"))
        deep = StreamMessage(None, b"[" * 100_000, headers={"message_id": str(uuid4())})
        with pytest.raises(InvalidArgument, match="is not JSON"):
            Inbox("shipping").receive(session, deep)
        with pytest.raises(InvalidArgument, match="is not JSON"):
            Inbox("shipping").receive(
                session, StreamMessage(None, b"{", headers={"message_id": str(uuid4())})
            )
        with pytest.raises(InvalidArgument, match=r"FastStream .*\(dict\)"):
            Inbox("shipping").receive(session, {"id": 1})  # type: ignore[arg-type]  # what is tested
    with pytest.raises(InvalidArgument, match="not a stream"):
        Inbox("shipping-1")
    with pytest.raises(InvalidArgument, match="must be a string, got list"):
        Inbox(["shipping"])  # type: ignore[arg-type]  # what is tested
    with pytest.raises(InvalidStreamName):
        Inbox("")


def test_from_store_to_store_through_a_broker(shop: Any, nats: Any) -> None:
    """The handler fails at first, and the relay publishes twice: each row is there once."""
    category = shop.category
    broker = NatsBroker(nats.server.url, logger=None)
    inbox = Inbox(f"{category}:inbox")
    calls: list[str] = []

    @broker.subscriber(  # type: ignore[untyped-decorator]
        f"{category}.T",
        stream=category,
        durable="inbox",
        pull_sub=True,
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def take(message: NatsMessage) -> None:
        async with shop.factory.begin() as session:
            if await inbox.receive_async(session, message):
                await session.execute(
                    text("INSERT INTO shipments VALUES (:n)"), {"n": message.body}
                )
            calls.append(message.message_id)
            if len(calls) == 1:
                raise ValueError("not this time")

    async def scenario() -> None:
        await broker.start()
        await shop.relay(nats).catch_up_async(shop.factory)
        # Under another id for the server, so that it does not drop it.
        told = (await nats.received())[0]
        headers = {**told.headers, "Nats-Msg-Id": "again"}
        await broker.publish(told.body, told.where, headers, stream=category)
        await until(lambda: len(calls) == 5)
        await broker.stop()

    with shop.engine.begin() as connection:
        connection.execute(text("CREATE TABLE shipments (body bytea)"))
    shop.write(1, 1, 2)
    shop.write(2, 3)
    shop.run(scenario())

    with shop.engine.connect() as connection:
        bodies = connection.scalars(text("SELECT body FROM shipments")).all()
        kept = MessageStore(connection).read_category(f"{category}:inbox")
    assert sorted(map(int, bodies)) == [1, 2, 3]
    assert sorted((each.stream_name.partition("-")[2], each.data) for each in kept) == [
        ("1", 1),
        ("1", 2),
        ("2", 3),
    ]
