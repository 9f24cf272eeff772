"""A reader's privileges are enough for the gauges of a store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Group, Message, MessageStore
from mdb_sqla.metrics import gauges
from mdb_sqla.metrics.store_gauges import StoreGauges
from tests.privileges.conftest import MemberOf


def values(engine: Engine) -> dict[str, float]:
    report = StoreGauges(engine).report()
    assert report.problem is None
    return {sample.gauge.name: sample.value for sample in report.samples}


@pytest.fixture
def _open_writer(member_of: MemberOf) -> Iterator[None]:
    """A transaction of another role that has written, and a consumer with a group."""
    engine = member_of("message_store_consumer")
    consumer = Consumer("metrics", "order", group=Group(slots=2))
    consumer.on()(lambda message, unit: None)
    consumer.catch_up(sessionmaker(engine))
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", Message("Placed"))
        yield


@pytest.mark.usefixtures("_open_writer")
def test_a_reader(member_of: MemberOf) -> None:
    found = values(member_of("message_store_reader"))

    of_hosts = {gauges.STATE.name, gauges.RATE.name, gauges.STANDBY_AVAILABLE.name}
    without_group = {gauges.SLOTS.name, gauges.MEMBERS.name}  # it has left
    unknown = {gauges.OPEN_WRITER_AGE.name, gauges.RETENTION_OVERDUE.name}
    known = {gauge.name for gauge in gauges.GAUGES} - of_hosts - without_group - unknown
    assert found.keys() == known
    assert found[gauges.OPEN_WRITERS.name] == 1


@pytest.mark.usefixtures("_open_writer")
def test_the_age_of_open_writers_needs_pg_read_all_stats(
    store: object, member_of: MemberOf, members: dict[str, str]
) -> None:
    reader = member_of("message_store_reader")
    assert gauges.OPEN_WRITER_AGE.name not in values(reader)

    owner = member_of("message_store")
    role = members["message_store_reader"]
    with owner.connect() as connection:
        connection.execute(text("RESET SESSION AUTHORIZATION"))
        connection.execute(text(f"GRANT pg_read_all_stats TO {role}"))
        connection.commit()
        try:
            assert values(reader)[gauges.OPEN_WRITER_AGE.name] > 0
        finally:
            connection.execute(text(f"REVOKE pg_read_all_stats FROM {role}"))
            connection.commit()
