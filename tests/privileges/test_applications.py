"""What applications do with no more rights than they need."""

from __future__ import annotations

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    AppendConditionFailed,
    Consumer,
    Group,
    Message,
    MessageStore,
    NotPermitted,
    Query,
    RetryPolicy,
    StoredMessage,
    UnitOfWork,
)
from mdb_sqla.consumers import dead_letter_queue as letters
from mdb_sqla.consumers.consumer_lag import lag
from mdb_sqla.store.copy_writes import COPY_THRESHOLD
from mdb_sqla.transfer.message_import import Imported, import_lines
from tests.privileges.conftest import MemberOf

WRITERS = ["message_store_writer", "message_store_consumer", "message_store"]
CONSUMERS = ["message_store_consumer", "message_store"]


@pytest.mark.parametrize("role", ["message_store_reader", *WRITERS])
def test_reading(member_of: MemberOf, role: str) -> None:
    with Session(member_of("message_store_writer")) as session:
        MessageStore(session).write(f"read:{role}-1", Message("Opened"))
        session.commit()

    with Session(member_of(role)) as session:
        store = MessageStore(session)
        category = f"read:{role}"
        assert len(store.read_stream(f"{category}-1")) == 1
        assert len(store.read_category(category)) == 1
        assert len(store.read_messages([category])) == 1
        assert len(store.read(Query(categories=[category]))) == 1
        assert store.version(f"{category}-1") == 0
        assert store.last_message(f"{category}-1") is not None
        assert lag(session, "nobody", category).messages == 1


@pytest.mark.parametrize("role", WRITERS)
@pytest.mark.parametrize("number", [1, 2, COPY_THRESHOLD])
def test_writing(member_of: MemberOf, role: str, number: int) -> None:
    stream = f"written:{role}-{number}"
    with UnitOfWork(sessionmaker(member_of(role))) as unit:
        for _ in range(number):
            unit.write(stream, Message("Opened"))
        unit.expect(stream, -1)
        unit.commit()

    with Session(member_of(role)) as session:
        assert MessageStore(session).version(stream) == number - 1


@pytest.mark.parametrize("role", WRITERS)
@pytest.mark.parametrize("number", [1, 2, COPY_THRESHOLD])
def test_writing_with_a_condition(member_of: MemberOf, role: str, number: int) -> None:
    stream = f"conditional:{role}+{number}-1"
    query = Query(categories=[stream.partition("-")[0]], tags=["a"])
    with UnitOfWork(sessionmaker(member_of(role))) as unit:
        messages = [Message("Opened") for _ in range(number)]
        unit.write(stream, messages, tags=["a"], unless=query.after(unit.store.read(query)))
        unit.commit()
        unit.write(stream, Message("Opened"), unless=query.after(0))
        with pytest.raises(AppendConditionFailed):
            unit.commit()


@pytest.mark.parametrize("role", WRITERS)
def test_writing_again_in_another_trace(member_of: MemberOf, role: str, spans: object) -> None:
    message = Message("Opened")
    for _ in range(2):
        with Session(member_of(role)) as session:
            assert MessageStore(session).write(f"traced:{role}-1", message) == 0
            session.commit()


@pytest.mark.parametrize("role", ["message_store_writer", "message_store"])
def test_copy_takes_the_right_to_choose_positions(member_of: MemberOf, role: str) -> None:
    sent: list[str] = []
    engine = member_of(role)
    event.listen(engine, "before_cursor_execute", lambda *values: sent.append(values[2]))
    with Session(engine) as session:
        messages = [("copied-1", Message("Opened")) for _ in range(COPY_THRESHOLD)]
        written = MessageStore(session).write_messages(messages)

    assert any("mdb_sqla_copy" in each for each in sent) is (role == "message_store")
    # None was drawn in vain.
    positions = [each.global_position for each in written]
    assert positions == list(range(positions[0], positions[0] + COPY_THRESHOLD))


def test_an_import_behind_others_takes_no_owner(member_of: MemberOf) -> None:
    with Session(member_of("message_store_writer")) as session:
        MessageStore(session).write("imported-1", Message("Opened"))
        session.commit()
    line = (
        b'{"id": "8a6b1e2c-6f7d-4a5e-9c3b-1d2e3f4a5b6c", "stream_name": "imported-1", "type": "T",'
        b' "position": 0, "global_position": 1, "time": "2013-01-01T12:00:00Z"}'
    )

    with member_of("message_store").connect() as connection:
        assert import_lines(connection, [line]) == Imported(1, 0, False)


@pytest.mark.parametrize("role", CONSUMERS)
@pytest.mark.parametrize("group", [None, Group(slots=2)], ids=["alone", "group"])
def test_consuming(member_of: MemberOf, role: str, group: Group | None) -> None:
    factory = sessionmaker(member_of(role))
    category = f"consumed:{role}" + ("+group" if group else "")
    with UnitOfWork(factory) as unit:
        for name in ("good", "bad"):
            unit.write(f"{category}-{name}", Message("Opened"))
        unit.commit()
    once = RetryPolicy(max_attempts=1)
    consumer = Consumer(
        f"of {category}", category, group=group, on_failure="dead_letter", retry_policy=once
    )
    handled: list[str] = []
    failing = True

    @consumer.on("Opened")
    def handle(message: StoredMessage, unit: UnitOfWork) -> None:
        if message.stream_name.endswith("bad") and failing:
            raise LookupError
        handled.append(message.stream_name)
        unit.write(f"handled-{role}", Message("Handled"))

    consumer.catch_up(factory)
    assert handled == [f"{category}-good"]
    failing = False
    with factory.begin() as session:
        letters.replay(session, consumer.name)
    consumer.catch_up(factory)

    assert handled == [f"{category}-good", f"{category}-bad"]


@pytest.mark.parametrize("role", ["message_store_reader", "message_store_writer"])
def test_who_is_no_consumer_can_be_none(member_of: MemberOf, role: str) -> None:
    consumer = Consumer("none", "account")
    consumer.on("Opened")(lambda _message, _unit: None)

    with pytest.raises(NotPermitted, match="permission denied for table consumers"):
        consumer.catch_up(sessionmaker(member_of(role)))
