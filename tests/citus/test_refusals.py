"""What a store on Citus does not offer raises an error that names it, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    AppendCondition,
    Consumer,
    Message,
    MessageStore,
    NotOffered,
    Query,
    StoredMessage,
    UnitOfWork,
    functions,
    migrations,
)
from mdb_sqla.admin import set_lock_granularity
from mdb_sqla.database.error_translation import translated
from mdb_sqla.erasure import erase_stream
from mdb_sqla.retention import set_policy
from tests.citus.conftest import Cluster

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


def test_consumers(cluster: Cluster, category: str) -> None:
    consumer = Consumer("billing", category)

    @consumer.on()
    def handle(message: StoredMessage, unit: UnitOfWork) -> None:
        raise AssertionError

    with Session(cluster.coordinator) as session:
        MessageStore(session).write(f"{category}-1", Message("Opened"))
        session.commit()
    with pytest.raises(NotOffered, match="does not offer consumers"):
        consumer.catch_up(sessionmaker(cluster.coordinator))


def test_administration(cluster: Cluster, category: str) -> None:
    engine, schema = cluster.coordinator, cluster.schema

    with pytest.raises(NotOffered, match="another lock granularity"):
        set_lock_granularity(engine, "stream", schema=schema)
    for call, what in (
        (partial(set_policy, category=category, keep_last=1), "retention"),
        (partial(erase_stream, stream_name=f"{category}-1", reason="asked for"), "erasing"),
    ):
        with Session(engine) as session, pytest.raises(NotOffered, match=what):
            call(session)
    with pytest.raises(NotOffered, match="can't be downgraded"):
        migrations.downgrade(engine, schema=schema, delete_messages=True)
