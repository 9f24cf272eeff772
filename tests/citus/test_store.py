"""The store's API, on each node of a Citus cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass
from uuid import uuid4

import pytest
from opentelemetry.trace import Tracer
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    NO_STREAM,
    DuplicateMessageId,
    Message,
    MessageStore,
    MessageTypes,
    UnitOfWork,
    WrongExpectedVersion,
    write_on_commit,
)
from mdb_sqla.admin import verify
from mdb_sqla.entities import EntityStore, Snapshots, apply
from tests.citus.conftest import Cluster
from tests.cli.test_mdb import mdb


def positions(node: Engine, category: str) -> list[tuple[str, int, int]]:
    with Session(node) as session:
        found = MessageStore(session).read_category(category)
    return [(each.stream_name, each.position, each.global_position) for each in found]


def test_each_category_has_positions_of_its_own(node: Engine, category: str) -> None:
    other = f"{category}other"
    with Session(node) as session:
        written = MessageStore(session).write_messages(
            [
                (f"{category}-1", Message("Opened")),
                (f"{other}-1", Message("Opened")),
                (f"{category}-2", Message("Opened")),
                (f"{category}-1", Message("Closed")),
            ]
        )
        session.commit()

    assert written == [(0, 1), (0, 1), (0, 2), (1, 3)]
    assert positions(node, category) == [
        (f"{category}-1", 0, 1),
        (f"{category}-2", 0, 2),
        (f"{category}-1", 1, 3),
    ]
    assert positions(node, other) == [(f"{other}-1", 0, 1)]


def test_reads(node: Engine, category: str) -> None:
    stream = f"{category}-1"
    messages = [Message("Odd" if i % 2 else "Even", {"i": i}) for i in range(5)]
    with Session(node) as session:
        store = MessageStore(session)
        store.write(stream, messages)
        session.commit()

        assert [each.data["i"] for each in store.read_stream(stream, 1, 2)] == [1, 2]
        assert [each.data["i"] for each in store.iterate_category(category, batch_size=2)] == [
            0,
            1,
            2,
            3,
            4,
        ]
        assert [each.id for each in store.read_category(category, 4)] == [
            each.id for each in messages[3:]
        ]
        assert len(store.read_messages([category])) == 5
        last, odd = store.last_message(stream), store.last_message(stream, "Odd")
        assert last is not None
        assert odd is not None
        assert (last.position, odd.position) == (4, 3)
        assert (store.version(stream), store.version(f"{category}-9")) == (4, NO_STREAM)
        assert store.settled_position(category) == 5


def test_filters(node: Engine, category: str) -> None:
    with Session(node) as session:
        store = MessageStore(session)
        for number in range(10):
            message = Message("Opened", {"i": number}).with_correlation(f"order-{number}")
            store.write(f"{category}-{number}", message if number % 2 else Message("Opened"))
        session.commit()

        members = [
            {
                each.stream_name
                for each in store.read_category(
                    category, consumer_group_member=member, consumer_group_size=2
                )
            }
            for member in (0, 1)
        ]
        assert members[0]
        assert members[1]
        assert not members[0] & members[1]
        assert len(members[0] | members[1]) == 10
        assert len(store.read_category(category, correlation="order")) == 5
        session.execute(text("SET LOCAL message_store.sql_condition = on"))
        assert len(store.read_category(category, condition="position = 0 AND data IS NULL")) == 5


def test_expected_versions(node: Engine, category: str) -> None:
    stream, other = f"{category}-1", f"{category}other-1"
    with Session(node) as session:
        store = MessageStore(session)
        store.write(stream, Message("Opened"), expected_version=NO_STREAM)
        session.commit()

        with pytest.raises(WrongExpectedVersion) as caught:
            store.write(stream, Message("Closed"), expected_version=NO_STREAM)
        session.rollback()
        assert (caught.value.stream_name, caught.value.stream_version) == (stream, 0)

        # One that is only expected, in another category; nothing is written to either.
        with pytest.raises(WrongExpectedVersion):
            store.write_messages([(stream, Message("Closed"))], expected_versions={other: 3})
        session.rollback()
        store.write_messages([(stream, Message("Closed"))], expected_versions={other: NO_STREAM})
        session.commit()
        assert store.version(stream) == 1


def test_repeated_messages(node: Engine, category: str) -> None:
    stream, message = f"{category}-1", Message("Opened", {"by": "A"})
    with Session(node) as session:
        store = MessageStore(session)
        assert store.write(stream, message, expected_version=NO_STREAM) == 0
        session.commit()
        assert store.write(stream, message, expected_version=NO_STREAM) == 0
        assert store.write(stream, [Message("Closed"), message]) == 0
        assert store.version(stream) == 1
        session.commit()

        for repeat, idempotent in ((message, False), (Message("Opened", id=message.id), True)):
            with pytest.raises(DuplicateMessageId, match=str(message.id)):
                store.write(stream, repeat, idempotent=idempotent)
            session.rollback()

        # Another category does not know the id.
        assert store.write(f"{category}other-1", message) == 0


def test_many_messages_in_order(node: Engine, category: str) -> None:
    """More than a store on one server would write with COPY."""
    stream = f"{category}-1"
    with Session(node) as session:
        store = MessageStore(session)
        store.load((stream, Message("Counted", number)) for number in range(1_000))
        session.commit()
        assert [each.data for each in store.iterate_stream(stream)] == list(range(1_000))


def test_rollbacks_take_no_positions(node: Engine, category: str) -> None:
    stream = f"{category}-1"
    with Session(node) as session:
        store = MessageStore(session)
        store.write(stream, Message("Undone"))
        session.rollback()
        store.write(stream, Message("Opened"))
        with session.begin_nested() as savepoint:
            store.write(stream, Message("Undone"))
            savepoint.rollback()
        store.write(stream, Message("Closed"))
        session.commit()
    assert positions(node, category) == [(stream, 0, 1), (stream, 1, 2)]


def test_messages_on_commit(node: Engine, category: str) -> None:
    with Session(node) as session:
        pending = [
            write_on_commit(session, f"{category}{name}-1", Message("Opened")) for name in "abc"
        ]
        session.commit()
    assert [each.position for each in pending] == [0, 0, 0]


def test_server_functions(node: Engine, cluster: Cluster, category: str) -> None:
    """As clients in other languages call them."""
    write = text(
        f"SELECT {cluster.schema}.write_message(:id, :stream, :type, CAST(:data AS jsonb))"
    )
    values = {"id": str(uuid4()), "stream": f"{category}-1", "type": "Opened", "data": "null"}
    with node.begin() as connection:
        assert connection.scalar(write, values) == 0
        assert connection.scalar(write, {**values, "id": str(uuid4()), "data": None}) == 1
        get = text(
            f"SELECT data FROM {cluster.schema}.get_stream_messages(:stream) ORDER BY position"
        )
        assert list(connection.scalars(get, {"stream": f"{category}-1"})) == ["null", None]

    for wrong in ({}, {"type": None, "id": str(uuid4())}, {"stream": None, "id": str(uuid4())}):
        with pytest.raises(IntegrityError), node.begin() as connection:
            connection.execute(write, {**values, **wrong})
    write_all = text(f"SELECT * FROM {cluster.schema}.write_messages(CAST(:messages AS jsonb))")
    without_ids = [{"stream_name": f"{category}-1", "type": "Opened"}] * 2
    with pytest.raises(IntegrityError), node.begin() as connection:
        connection.execute(write_all, {"messages": json.dumps(without_ids)})
    assert positions(node, category)[-1] == (f"{category}-1", 1, 2)


def test_verification(cluster: Cluster) -> None:
    assert verify(cluster.coordinator, schema=cluster.schema).is_sound
    printed = mdb("verify", "--schema", cluster.schema, url=cluster.coordinator.url).stdout
    assert "No problems found" in printed

    with cluster.coordinator.begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO {cluster.schema}.messages "
                "(category, global_position, stream_name, position, type, id) "
                "VALUES ('broken', 2, 'broken-1', 1, 'Opened', CAST(:id AS uuid))"
            ),
            {"id": str(uuid4())},
        )
    found = verify(cluster.coordinator, schema=cluster.schema).differences
    assert [each.where for each in found] == ["Category broken", "Stream broken-1"]
    with cluster.coordinator.begin() as connection:
        connection.execute(text(f"DELETE FROM {cluster.schema}.messages WHERE category = 'broken'"))


def test_messages_and_rows_of_the_coordinator_commit_in_two_phases(
    cluster: Cluster, category: str
) -> None:
    """Otherwise a worker commits first, and a crash of the coordinator loses its rows."""
    notices: list[str] = []
    with cluster.coordinator.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        connection.execute(text("CREATE TABLE pg_temp.orders (number integer)"))
        connection.execute(text("SET citus.log_remote_commands = on"))
        connection.execute(text("SET client_min_messages = notice"))
        connection.commit()

        connection.execute(text("INSERT INTO pg_temp.orders VALUES (1)"))
        MessageStore(connection).write(f"{category}-1", Message("Opened"))
        connection.commit()
    steps = [notice for notice in notices if "PREPARE" in notice]
    assert [step.rpartition("issuing ")[2].partition(" '")[0] for step in steps] == [
        "PREPARE TRANSACTION",
        "COMMIT PREPARED",
    ]


def test_a_repeated_message_may_have_another_trace(
    node: Engine, category: str, tracer: Tracer
) -> None:
    stream, message = f"{category}-1", Message("Opened", {"by": "A"})
    for _ in range(2):
        with tracer.start_as_current_span("request"), Session(node) as session:
            assert MessageStore(session).write(stream, message) == 0
            session.commit()
    assert positions(node, category) == [(stream, 0, 1)]


@dataclass(frozen=True)
class Deposited:
    amount: int


@dataclass
class Account:
    balance: int = 0

    @apply(Deposited)
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount


def test_entities(node: Engine, category: str) -> None:
    accounts = EntityStore(
        category, Account, types=MessageTypes(Deposited), snapshots=Snapshots(every=2)
    )
    for number in range(5):
        with UnitOfWork(sessionmaker(node)) as unit:
            account = accounts.get(unit, "1")
            assert account.state.balance == 10 * number
            account.write(Deposited(10))
            unit.commit()
