"""A switch while others read and write the tables."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from mdb_sqla import StoreBusy, StoredMessage
from mdb_sqla.projections import Projection, rebuild, switch
from tests.projections.conftest import Placed, Shop, Total, totals_of, types, versions
from tests.waiting import PATIENCE, wait_until


def test_readers_see_one_version_or_the_other(filled: Shop) -> None:
    """Never a part of one: each read has all rows, all of the same version."""
    new = totals_of(2, factor=10)
    rebuild(filled.engine, new)
    whole = [sum(range(1, 31)), 10 * sum(range(1, 31))]
    reads: list[tuple[Any, Any]] = []
    done = threading.Event()

    def read() -> None:
        with filled.engine.connect() as connection:
            while not done.is_set():
                found = connection.exec_driver_sql("SELECT count(*), sum(total) FROM order_totals")
                reads.append(tuple(found.one()))
                connection.rollback()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for each in (new, totals_of(), new, totals_of(), new):
        switch(filled.engine, each)
    done.set()
    for thread in threads:
        thread.join()

    assert {total for _, total in reads} == set(map(Decimal, whole))
    assert {count for count, _ in reads} == {30}


def test_a_snapshot_that_is_older_than_the_new_rows(filled: Shop) -> None:
    """It would see an empty table. So the switch waits for it, and does not block readers."""
    new = totals_of(2, factor=10)
    with filled.engine.connect().execution_options(isolation_level="REPEATABLE READ") as reader:
        reader.exec_driver_sql("SELECT 1 FROM message_store.messages LIMIT 1")
        rebuild(filled.engine, new)
        with pytest.raises(StoreBusy, match="whose snapshots are older than the new table's rows"):
            switch(filled.engine, new, wait=0.2)
        found = reader.exec_driver_sql("SELECT count(*) FROM order_totals").scalar()
    assert found == 30

    switch(filled.engine, new, wait=5)
    assert filled.totals()["1"] == (Decimal(10), Decimal(1))


def test_a_reader_that_holds_the_table(filled: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuild(filled.engine, totals_of(2))
    monkeypatch.setattr("mdb_sqla.projections.version_switch.wait_for_snapshots", lambda *_: None)
    with Session(filled.engine) as session:
        session.get(Total, "1")
        with pytest.raises(StoreBusy, match="was not changed"):
            switch(filled.engine, totals_of(2), wait=0.3)
    assert versions(filled) == [(1, "current", None), (2, "other", "public.order_totals_v2")]
    switch(filled.engine, totals_of(2))


def test_writers_during_the_switch_lose_nothing(filled: Shop) -> None:
    new = totals_of(2)
    rebuild(filled.engine, new)
    done = threading.Event()
    written: list[int] = []

    def write() -> None:
        number = 100
        while not done.is_set():
            filled.write(number, Placed("ada", Decimal(number)))
            written.append(number)
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    wait_until(lambda: len(written) > 5)
    switch(filled.engine, new)
    count = len(written)
    wait_until(lambda: len(written) > count + 5)
    done.set()
    thread.join()

    new.consumer().catch_up(filled.factory)
    totals_of().consumer().catch_up(filled.factory)
    assert len(filled.totals()) == len(filled.totals("order_totals_v1")) == 30 + len(written)


def test_a_batch_that_is_in_flight_during_the_switch(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has found out where to write before the tables are exchanged, and must not write later."""
    monkeypatch.setattr("mdb_sqla.projections.version_switch.wait_for_snapshots", lambda *_: None)
    begun, proceed = threading.Event(), threading.Event()

    def key(event: Placed, message: StoredMessage) -> str:
        if message.stream_name == "order-99":
            begun.set()
            assert proceed.wait(PATIENCE)
        return message.stream_name.partition("-")[2]

    old = Projection("totals", "order", row=Total, types=types)
    old.on(Placed, key=key)(lambda row, event, message: Total(key(event, message), "", event.total))
    new = totals_of(2, factor=10)
    shop.place(range(1, 4))
    old.consumer().catch_up(shop.factory)
    rebuild(shop.engine, new)
    shop.write(99, Placed("ada", Decimal(99)))
    threads = [
        threading.Thread(target=old.consumer().catch_up, args=(shop.factory,)),
        threading.Thread(target=switch, args=(shop.engine, new)),
    ]

    threads[0].start()
    assert begun.wait(PATIENCE)
    threads[1].start()
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
    with shop.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        wait_until(lambda: connection.scalar(waiting) or not threads[1].is_alive())
    proceed.set()
    for thread in threads:
        thread.join()
    new.consumer().catch_up(shop.factory)

    assert shop.totals()["99"] == (Decimal(990), Decimal(0))
    assert shop.totals("order_totals_v1")["99"] == (Decimal(99), Decimal(0))
