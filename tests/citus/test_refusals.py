"""What a store on Citus does not offer raises an error that names it, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import Connection, Engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from mdb_sqla import (
    AppendCondition,
    Consumer,
    Message,
    MessageStore,
    NotOffered,
    Query,
    StoredMessage,
    UnitOfWork,
    admin,
    functions,
    migrations,
    retention,
)
from mdb_sqla.admin import set_lock_granularity
from mdb_sqla.database.error_translation import translated
from mdb_sqla.encryption import KeyTable
from mdb_sqla.erasure import erase_stream, forget_subject
from mdb_sqla.host.http_server import serve
from mdb_sqla.metrics.store_gauges import StoreGauges
from mdb_sqla.projections import Projection, drop, make_inline, projections, rebuild
from mdb_sqla.projections.position_wait import is_applied
from mdb_sqla.retention import delete_policy, policies, set_policy
from mdb_sqla.transfer import RawReader, export, import_lines
from mdb_sqla.web import create_app
from tests.citus.conftest import Cluster
from tests.cli.test_mdb import mdb

CONDITION = AppendCondition(Query(categories=["account"]), 0)

CALLS: dict[str, Callable[[Session], object]] = {
    "several categories in one order": lambda session: MessageStore(session).read_messages(
        ["account", "order"]
    ),
    "reads of several categories": lambda session: MessageStore(session).read_messages(),
    "settled position of all": lambda session: MessageStore(session).settled_position(),
    "in one order: each category has positions of its own": lambda session: MessageStore(
        session
    ).read(Query(categories=["account"])),
    "append conditions": lambda session: MessageStore(session).write(
        "account-1", Message("Opened"), unless=CONDITION
    ),
    "append conditions: ": lambda session: MessageStore(session).write(
        "account-1", [Message("Opened") for _ in range(300)], unless=CONDITION
    ),
    r"acquire_lock\(\)": lambda session: session.execute(
        select(functions.acquire_lock("account-1"))
    ),
    "last position of all categories": lambda session: session.execute(
        select(functions.last_global_position())
    ),
    "deleting": lambda session: session.execute(select(functions.delete_messages([1]))),
    "retention": lambda session: session.execute(
        select(functions.expired_messages("account").c.number)
    ),
}


@pytest.mark.parametrize("what", CALLS)
def test_calls(cluster: Cluster, what: str) -> None:
    for node in cluster.nodes:
        with Session(node) as session:
            with pytest.raises(NotOffered, match=f"does not offer .*{what}"), translated():
                CALLS[what](session)
            session.rollback()
            assert MessageStore(session).version("account-1") == -1


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_writes_at_other_isolation_levels(cluster: Cluster, category: str, level: str) -> None:
    for node in cluster.nodes:
        with Session(node.execution_options(isolation_level=level)) as session:
            with pytest.raises(NotOffered, match=f"writes at isolation level {level.lower()}"):
                MessageStore(session).write(f"{category}-1", Message("Opened"))
            session.rollback()
            assert MessageStore(session).read_category(category) == []


def test_consumers(node: Engine, category: str) -> None:
    consumer = Consumer("billing", category)

    @consumer.on()
    def handle(message: StoredMessage, unit: UnitOfWork) -> None:
        raise AssertionError

    with Session(node) as session:
        MessageStore(session).write(f"{category}-1", Message("Opened"))
        session.commit()
    with pytest.raises(NotOffered, match="does not offer consumers"):
        consumer.catch_up(sessionmaker(node))


class Base(DeclarativeBase):
    pass


class Total(Base):
    __tablename__ = "totals"

    account: Mapped[str] = mapped_column(primary_key=True)


totals = Projection("totals", "account", row=Total)


@totals.on("Opened")
def opened(row: Total | None, message: StoredMessage) -> Total:
    raise AssertionError


def export_from_standby(session: Session) -> None:
    with session.connection().engine.connect() as standby:
        list(export(session, RawReader("account"), read_from=standby))


def erase(session: Session) -> None:
    erase_stream(session, "account-1", reason="asked for")


ADMINISTRATION: list[tuple[str, Callable[[Session], object]]] = [
    ("consumers", admin.consumers),
    ("consumers", lambda session: admin.lag(session, "billing", "account")),
    ("consumers", lambda session: Consumer("billing", "account").lag(session)),
    ("consumers", lambda session: admin.pause_consumer(session, "billing")),
    ("consumers", lambda session: admin.resume_consumer(session, "billing")),
    ("consumers", lambda session: admin.reset_consumer(session, "billing")),
    ("consumers", lambda session: admin.delete_consumer(session, "billing")),
    ("consumers", lambda session: admin.dead_letters(session, "billing")),
    ("consumers", lambda session: admin.replay(session, "billing")),
    ("consumers", lambda session: admin.skip(session, "billing", 1)),
    ("clearing", lambda session: admin.clear(session.connection())),
    ("the open write transactions", admin.open_writers),
    ("the open write transactions", lambda session: admin.holding_back(session, ["account"], 0)),
    ("the summary of a store", admin.summary),
    ("projections", projections),
    ("projections", lambda session: totals.live(session, "1")),
    ("projections", lambda session: is_applied(totals, 1, session)),
    ("retention", policies),
    ("retention", lambda session: set_policy(session, "account", keep_last=1)),
    ("retention", lambda session: delete_policy(session, "account")),
    ("deleting, erasing or restoring messages", erase),
    ("reads of all messages", lambda session: list(export(session, RawReader()))),
    ("reads of all messages", lambda session: RawReader(position=2).next(session)),
    ("reads from standbys", export_from_standby),
]


@pytest.mark.parametrize(("what", "call"), ADMINISTRATION)
def test_administration(node: Engine, what: str, call: Callable[[Session], object]) -> None:
    with Session(node) as session, pytest.raises(NotOffered, match=f"does not offer {what}: "):
        call(session)


@pytest.mark.parametrize(
    ("what", "call"),
    [
        (
            "another lock granularity",
            lambda engine, schema: set_lock_granularity(engine, "stream", schema=schema),
        ),
        (
            "protection from accidental changes",
            lambda engine, schema: admin.set_protection(engine, True, schema=schema),
        ),
        ("projections", lambda engine, schema: rebuild(engine, totals)),
        ("projections", lambda engine, schema: make_inline(engine, totals)),
        ("projections", lambda engine, schema: drop(engine, "totals", 1)),
        ("retention", lambda engine, schema: retention.run(engine)),
        ("retention", lambda engine, schema: retention.plan(engine)),
    ],
)
def test_administration_over_an_engine(
    node: Engine, cluster: Cluster, what: str, call: Callable[[Engine, str], object]
) -> None:
    with pytest.raises(NotOffered, match=f"does not offer {what}: "):
        call(node, cluster.schema)


def test_an_import(node: Engine, category: str) -> None:
    line = {"id": str(uuid4()), "stream_name": f"{category}-1", "type": "Opened", "position": 0}
    line |= {"global_position": 1, "time": "2025-01-01T00:00:00Z", "data": None, "metadata": None}
    with node.connect() as connection:
        with pytest.raises(NotOffered, match=r"does not offer an import: .* load\(\)"):
            import_lines(connection, [json.dumps(line).encode() + b"\n"])
        assert MessageStore(connection).read_category(category) == []


def test_metrics(node: Engine) -> None:
    report = StoreGauges(node).report()

    assert report.problem is not None
    assert "does not offer the metrics of a store: " in report.problem
    assert [(sample.gauge.name, sample.value) for sample in report.samples] == [
        ("mdb_sqla.store.up", 0)
    ]


def test_the_web_interface(node: Engine) -> None:
    with serve(("127.0.0.1", 0), create_app(node)) as url:
        for view in ("", "messages", "search?q=account", "retention"):
            answer = httpx2.get(f"{url}/{view}")
            assert answer.status_code == 503
            assert "does not offer the web interface: " in answer.text


def test_what_only_the_coordinator_has(cluster: Cluster) -> None:
    calls: list[Callable[[Connection], object]] = [
        admin.operations,
        lambda connection: admin.record_operation(connection, "deployed"),
        lambda connection: forget_subject(connection, "ada", reason="asked for"),
        lambda connection: KeyTable(connection.engine, bytes(32)).create_key("ada"),
    ]
    for worker in cluster.workers:
        for call in calls:
            refused = pytest.raises(NotOffered, match=r"on a worker: .* on the coordinator")
            with worker.connect() as connection, refused:
                call(connection)
    with cluster.coordinator.connect() as connection:
        admin.record_operation(connection, "deployed")
        assert admin.operations(connection)[0].kind == "deployed"


def test_a_downgrade(cluster: Cluster) -> None:
    with pytest.raises(NotOffered, match="can't be downgraded"):
        migrations.downgrade(cluster.coordinator, schema=cluster.schema, delete_messages=True)


@pytest.mark.parametrize(
    ("what", "arguments"),
    [
        ("reads of all messages", ["print"]),
        ("reads of all messages", ["tail"]),
        ("reads of all messages", ["export"]),
        ("the summary of a store", ["summary"]),
        ("the metrics of a store", ["metrics", "--once"]),
        ("consumers", ["consumers"]),
        ("consumers", ["reset-consumer", "billing"]),
        ("consumers", ["dead-letters", "list"]),
        ("projections", ["projections", "list"]),
        ("retention", ["retention", "run"]),
        ("protection from accidental changes", ["protect", "on"]),
    ],
)
def test_commands(cluster: Cluster, what: str, arguments: list[str]) -> None:
    done = mdb(*arguments, "--schema", cluster.schema, url=cluster.coordinator.url, code=1)

    assert f"does not offer {what}: " in done.stderr
