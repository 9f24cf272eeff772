"""Groups that run themselves: members join, leave and crash under load."""

from __future__ import annotations

import os
import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, func, select, text, update
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Consumer, Group, Message, MessageStore, tables
from mdb_sqla.admin.consumer_overview import consumers
from mdb_sqla.consumers import claims
from mdb_sqla.consumers.group import Membership
from tests.waiting import backends, wait_until

STREAMS = 40
SLOTS = 8


class Members:
    """Starts members of one group, each in a thread with an engine of its own, and ends them."""

    def __init__(self, url: URL, lease: float) -> None:
        self._url = url
        self._lease = lease
        self._names = (f"member-{number}" for number in count())
        self.running: dict[str, tuple[Consumer, threading.Thread]] = {}
        self.errors: list[BaseException] = []

    def join(self) -> str:
        name = next(self._names)
        engine = create_engine(self._url)
        group = Group(slots=SLOTS, lease=self._lease, member=name)
        consumer = Consumer(
            "billing", "order", group=group, batch_size=20, poll_interval=(0.005, 0.02)
        )

        @consumer.on("T")
        def leave_effect(message: Any, unit: Any) -> None:
            unit.session.execute(
                text("INSERT INTO effects (stream, number) VALUES (:stream, :number)"),
                {"stream": message.stream_name, "number": message.data},
            )

        def run() -> None:
            try:
                consumer.run(sessionmaker(engine))
            except BaseException as error:
                self.errors.append(error)
            finally:
                engine.dispose()

        thread = threading.Thread(target=run)
        thread.start()
        self.running[name] = consumer, thread
        return name

    def leave(self, name: str) -> None:
        consumer, thread = self.running.pop(name)
        consumer.stop()
        thread.join(20)
        assert not thread.is_alive()

    def leave_all(self) -> None:
        for name in list(self.running):
            self.leave(name)


@pytest.fixture
def engine(clean_database: URL) -> Iterator[Engine]:
    engine = create_engine(clean_database)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE effects (id serial, stream text, number int)"))
    yield engine
    engine.dispose()


@contextmanager
def members_of(url: URL, lease: float = 0.6) -> Iterator[Members]:
    members = Members(url, lease)
    try:
        yield members
    finally:
        members.leave_all()


def write(engine: Engine, start: int, number: int) -> None:
    with engine.begin() as connection:
        MessageStore(connection).write_messages(
            [(f"order-{n % STREAMS}", Message("T", n)) for n in range(start, start + number)]
        )


def wait_for(engine: Engine, number: int) -> list[tuple[str, int]]:
    """Wait until as many effects are there as messages, and return them in their order."""
    for _ in range(3000):
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT stream, number FROM effects ORDER BY id")).all()
        if len(rows) >= number:
            return [tuple(row) for row in rows]
        threading.Event().wait(0.01)
    raise AssertionError(f"{len(rows)} of {number}")


def assert_each_once_and_in_order(effects: list[tuple[str, int]], number: int) -> None:
    assert sorted(number for _, number in effects) == list(range(number))
    by_stream: dict[str, list[int]] = defaultdict(list)
    for stream, value in effects:
        by_stream[stream].append(value)
    assert all(values == sorted(values) for values in by_stream.values())


def owners(engine: Engine) -> list[str | None]:
    slots = tables.consumer_slots.c
    with engine.connect() as connection:
        return list(connection.scalars(select(slots.owner).order_by(slots.slot)))


def test_one_member_has_all_slots_and_two_share_them(engine: Engine, clean_database: URL) -> None:
    with members_of(clean_database) as members:
        first = members.join()
        write(engine, 0, 400)
        wait_for(engine, 400)
        assert owners(engine) == [first] * SLOTS

        second = members.join()
        for start in range(400, 40_000, 100):
            write(engine, start, 100)
            effects = wait_for(engine, start + 100)
            if owners(engine).count(second) == SLOTS // 2:
                break
        assert owners(engine).count(first) == SLOTS // 2
        assert_each_once_and_in_order(effects, start + 100)
    assert members.errors == []
    assert owners(engine) == [None] * SLOTS


@pytest.mark.parametrize("seed", [1, 2])
def test_joining_and_leaving_in_random_order(
    engine: Engine, clean_database: URL, seed: int
) -> None:
    chance = random.Random(seed)
    total = 0
    with members_of(clean_database) as members:
        for _ in range(20):
            if members.running and (len(members.running) == 4 or chance.random() < 0.4):
                members.leave(chance.choice(list(members.running)))
            else:
                members.join()
            number = chance.randrange(1, 150)
            write(engine, total, number)
            total += number
            threading.Event().wait(chance.random() * 0.2)
        if not members.running:
            members.join()
        effects = wait_for(engine, total)
    assert members.errors == []
    assert_each_once_and_in_order(effects, total)


@pytest.mark.parametrize("alive_for", [0.3, 600], ids=["", "the clock went back"])
def test_a_member_that_is_gone_is_replaced_after_its_lease(
    engine: Engine, clean_database: URL, alive_for: float
) -> None:
    with engine.begin() as connection:
        connection.execute(
            tables.consumer_members.insert().values(
                consumer="billing",
                member="gone",
                instance="00000000-0000-0000-0000-000000000000",
                lease=timedelta(seconds=0.3),
                alive_until=text(f"clock_timestamp() + interval '{alive_for} s'"),
            )
        )
        for slot in range(SLOTS):
            connection.execute(
                tables.consumer_slots.insert().values(
                    consumer="billing", slot=slot, slots=SLOTS, position=0, token=7, owner="gone"
                )
            )
    write(engine, 0, 100)
    with members_of(clean_database) as members:
        name = members.join()
        effects = wait_for(engine, 100)
        assert owners(engine) == [name] * SLOTS
    assert_each_once_and_in_order(effects, 100)


def test_slots_of_a_member_that_knows_nothing_of_them(engine: Engine, clean_database: URL) -> None:
    """It was killed, and is back under its name before its lease has run out."""
    with engine.begin() as connection:
        connection.execute(
            tables.consumer_members.insert().values(
                consumer="billing",
                member="member-1",
                instance="00000000-0000-0000-0000-000000000000",
                lease=timedelta(seconds=60),
                alive_until=text("clock_timestamp() + interval '60 s'"),
            )
        )
        for slot in range(SLOTS):
            connection.execute(
                tables.consumer_slots.insert().values(
                    consumer="billing",
                    slot=slot,
                    slots=SLOTS,
                    position=0,
                    token=7,
                    owner="member-1",
                )
            )
    write(engine, 0, 100)
    with members_of(clean_database) as members:
        for name in ("member-0", "member-1"):
            assert members.join() == name
        effects = wait_for(engine, 100)
        wait_until(lambda: owners(engine) == ["member-0", "member-1"] * (SLOTS // 2))
    assert_each_once_and_in_order(effects, 100)


def test_a_member_is_given_its_share_in_the_middle_of_a_batch(
    engine: Engine, clean_database: URL
) -> None:
    begun = threading.Event()
    given = threading.Event()
    engines = [create_engine(clean_database) for _ in range(2)]
    consumers = [
        Consumer("billing", "order", group=Group(slots=2, lease=0.3, member=member))
        for member in ("first", "second")
    ]

    @consumers[0].on("T")
    def wait(message: Any, unit: Any) -> None:
        begun.set()
        # As long as a third of the lease, so that its share is due before the next message.
        given.wait(0.1)

    @consumers[1].on("T")
    def note(message: Any, unit: Any) -> None:
        given.set()

    write(engine, 0, 400)
    threads = [
        threading.Thread(target=consumer.run, args=(sessionmaker(engine),))
        for consumer, engine in zip(consumers, engines, strict=True)
    ]
    threads[0].start()
    assert begun.wait(20)
    threads[1].start()
    # The first would take 40 seconds for all of them.
    assert given.wait(10)
    for consumer, thread, each in zip(consumers, threads, engines, strict=True):
        consumer.stop()
        thread.join(20)
        each.dispose()


def test_a_heartbeat_that_waits_for_the_end_joins_no_more(engine: Engine) -> None:
    membership = Membership("billing", Group(slots=2))
    with Session(engine) as session:
        membership.join(session)
        session.commit()
    membership.joined = True

    def beat() -> None:
        with Session(engine) as session:
            membership.renew_lease(session)
            session.commit()

    with ThreadPoolExecutor() as threads, Session(engine) as session:
        membership.leave(session, {})
        membership.joined = True  # as it was when the heartbeat began
        beating = threads.submit(beat)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            wait_until(lambda: backends(connection, "^UPDATE message_store.consumer_members"))
        membership.joined = False
        session.commit()
        beating.result(20)

    with engine.connect() as connection:
        assert connection.execute(select(tables.consumer_members)).all() == []


def test_a_member_that_was_paused_writes_nothing_twice(engine: Engine, clean_database: URL) -> None:
    """Its slots were taken over while it was in a handler, and its heart has stood still."""
    write(engine, 0, 1)
    paused_engine = create_engine(clean_database)
    paused = Consumer("billing", "order", group=Group(slots=SLOTS, lease=0.4, member="paused"))
    in_handler, resumed = threading.Event(), threading.Event()

    @paused.on("T")
    def pause(message: Any, unit: Any) -> None:
        unit.session.execute(
            text("INSERT INTO effects (stream, number) VALUES ('twice', :n)"), {"n": message.data}
        )
        in_handler.set()
        resumed.wait(20)

    thread = threading.Thread(target=paused.run, args=(sessionmaker(paused_engine),))
    thread.start()
    assert in_handler.wait(20)
    with members_of(clean_database) as members:
        with engine.begin() as connection:
            # Its heartbeat waits for the lock on this row.
            row = select(tables.consumer_members.c.member).with_for_update()
            assert list(connection.scalars(row)) == ["paused"]
            members.join()
            effects = wait_for(engine, 1)
        resumed.set()
        paused.stop()
        thread.join(20)
    paused_engine.dispose()

    assert effects == wait_for(engine, 1) == [("order-0", 0)]


def test_leases_are_limited_once_the_clock_went_back(engine: Engine) -> None:
    """To each member's own lease from now on; who is alive stays so; no lock is waited for."""
    members = tables.consumer_members
    own, gone, other = (Membership("billing", Group(member=name)) for name in ("own", "gone", "b"))
    with Session(engine) as session:
        for membership in (own, gone, other):
            membership.join(session)
            membership.joined = True
        session.execute(update(members).values(alive_until=text("now() + interval '600 s'")))
        session.commit()

    def left() -> dict[str, float]:
        seconds = func.extract("epoch", members.c.alive_until - func.clock_timestamp())
        with engine.connect() as connection:
            rows = connection.execute(select(members.c.member, seconds))
            return {member: float(value) for member, value in rows}

    with Session(engine) as session, engine.connect() as others:
        others.execute(select(members.c.member).where(members.c.member == "b").with_for_update())
        session.execute(text("SET LOCAL lock_timeout = '5s'"))
        assert sorted(own.share(session, {}, lambda *_: 0)) == list(range(2, 16, 3))
        session.commit()

    assert 0 < left()["own"] <= 10
    assert 0 < left()["gone"] <= 10
    assert left()["b"] > 500


def test_a_claim_does_not_wait_for_other_slots(engine: Engine) -> None:
    """If it did, members that each have updated a slot could wait for each other."""
    slots = tables.consumer_slots
    with Session(engine) as session:
        for slot in range(2):
            claims.claim(session, "billing", slot, 2, 0)
        session.commit()
    with Session(engine) as session, engine.begin() as other:
        other.execute(update(slots).where(slots.c.slot == 0).values(position=1))
        session.execute(text("SET LOCAL lock_timeout = '1s'"))
        _, position = claims.claim(session, "billing", 1, 2, 0)
        session.commit()
    assert position == 0


def test_a_member_from_before_the_clock_went_back_is_not_shown_as_alive(engine: Engine) -> None:
    with Session(engine) as session:
        for name in ("now", "before"):
            Membership("billing", Group(member=name)).join(session)
        members = tables.consumer_members
        session.execute(
            update(members)
            .where(members.c.member == "before")
            .values(alive_until=text("now() + interval '600 s'"))
        )
        (billing,) = consumers(session)

    assert {member.name: member.is_alive for member in billing.members} == {
        "now": True,
        "before": False,
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_processes_are_different_members() -> None:
    """A group of a module is made before a prefork server forks."""
    group = Group()
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.write(writing, group.member_name.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as names:
        name = names.read()
    assert os.waitpid(child, 0)[1] == 0

    assert str(os.getpid()) in group.member_name
    assert name != group.member_name
