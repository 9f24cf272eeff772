"""A new version fills a table of its own, and takes the place of the old one."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import (
    Group,
    HandlerFailed,
    InvalidArgument,
    MessagesDeleted,
    ProjectionRefused,
    Standbys,
    admin,
    retention,
)
from mdb_sqla.projections import Projection, attach, detach, drop, make_inline, rebuild, switch
from tests.projections.conftest import (
    Paid,
    Placed,
    Shop,
    Total,
    customers_of,
    totals_of,
    types,
    versions,
)
from tests.waiting import wait_until


def test_the_old_version_stays_in_use_until_the_switch(filled: Shop) -> None:
    old, new = totals_of(), totals_of(2, factor=10)
    seen: list[int] = []

    rebuilt = rebuild(filled.engine, new, progress=seen.append)

    assert rebuilt.messages == 60
    assert seen[-1] == 60
    assert versions(filled) == [(1, "current", None), (2, "other", "public.order_totals_v2")]
    filled.write(1, Paid(Decimal(1)))
    old.consumer().catch_up(filled.factory)
    assert filled.totals()["1"] == (Decimal(1), Decimal(2))

    assert switch(filled.engine, new) == 1

    assert filled.totals() == {
        str(n): (Decimal(10 * n), Decimal(2 if n == 1 else 1)) for n in range(1, 31)
    }
    assert versions(filled) == [(1, "other", "public.order_totals_v1"), (2, "current", None)]


def test_both_versions_continue_after_the_switch_and_it_can_be_undone(filled: Shop) -> None:
    old, new = totals_of(), totals_of(2, factor=10)
    rebuild(filled.engine, new)
    switch(filled.engine, new)
    filled.write(31, Placed("ada", Decimal(31)))

    old.consumer().catch_up(filled.factory)
    new.consumer().catch_up(filled.factory)

    assert filled.totals()["31"] == (Decimal(310), Decimal(0))
    assert filled.totals("order_totals_v1")["31"] == (Decimal(31), Decimal(0))
    filled.write(32, Placed("ada", Decimal(32)))
    assert switch(filled.engine, old) == 2
    assert filled.totals()["32"] == (Decimal(32), Decimal(0))
    old.consumer().catch_up(filled.factory)
    new.consumer().catch_up(filled.factory)
    assert len(filled.totals()) == len(filled.totals("order_totals_v2")) == 32


def test_the_old_version_is_dropped(filled: Shop) -> None:
    new = totals_of(2)
    with pytest.raises(ProjectionRefused, match="version 1 has no table of its own"):
        drop(filled.engine, "totals", 1)
    rebuild(filled.engine, new)
    switch(filled.engine, new)

    drop(filled.engine, "totals", 1)

    assert versions(filled) == [(2, "current", None)]
    with pytest.raises(ProjectionRefused, match="version 2 is current; to replace it by version 1"):
        totals_of().consumer().catch_up(filled.factory)
    new.consumer().catch_up(filled.factory)
    with filled.factory() as session:
        kinds = [each.kind for each in admin.operations(session, subject="totals")]
    assert kinds == ["drop_projection", "switch_projection", "rebuild_projection"]


def test_an_old_consumer_that_still_runs_is_stopped_by_the_drop(filled: Shop) -> None:
    """It must not apply anything to the table of the new version."""
    consumer = totals_of().consumer(on_failure="dead_letter")
    errors: list[BaseException] = []

    def run() -> None:
        try:
            consumer.run(filled.factory)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: consumer.state == "running")
    new = totals_of(2, factor=10)
    rebuild(filled.engine, new)
    switch(filled.engine, new)
    drop(filled.engine, "totals", 1)
    filled.write(40, Placed("ada", Decimal(40)))
    thread.join()

    assert isinstance(errors[0], ProjectionRefused)
    assert "40" not in filled.totals()
    new.consumer().catch_up(filled.factory)
    assert filled.totals()["40"] == (Decimal(400), Decimal(0))


def test_an_interrupted_rebuild_continues(filled: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdb_sqla.projections.fill_workers._BATCH_SIZE", 10)
    new = totals_of(2, factor=10)

    def interrupt(number: int) -> None:
        if number > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(filled.engine, new, progress=interrupt, workers=1)
    monkeypatch.setattr("mdb_sqla.projections.remaining_messages.MAX_REMAINING", 5)
    with pytest.raises(ProjectionRefused, match="messages or more left"):
        switch(filled.engine, new)
    rebuilt = rebuild(filled.engine, new, workers=4)

    assert 0 < rebuilt.messages < 60
    assert filled.totals("order_totals_v2") == {
        str(n): (Decimal(10 * n), Decimal(1)) for n in range(1, 31)
    }


def test_several_workers_have_the_streams_of_a_slot_each(filled: Shop) -> None:
    rebuild(filled.engine, totals_of(2), workers=3)

    with filled.engine.connect() as connection:
        (_, consumer) = admin.consumers(connection)
        assert [each.slot for each in consumer.slots] == [0, 1, 2]
    switch(filled.engine, totals_of(2))
    totals_of(2).consumer().catch_up(filled.factory)
    assert len(filled.totals()) == 30


def test_the_slots_of_a_group_stay(shop: Shop) -> None:
    shop.place(range(1, 31))
    totals_of().consumer(group=Group(slots=4)).catch_up(shop.factory)
    rebuild(shop.engine, totals_of(2))

    switch(shop.engine, totals_of(2))

    shop.place(range(31, 41))
    totals_of(2).consumer(group=Group(slots=4)).catch_up(shop.factory)
    assert len(shop.totals()) == 40


def test_a_key_function_takes_one_worker(shop: Shop) -> None:
    shop.place(range(1, 31))
    customers_of().consumer().catch_up(shop.factory)
    before = shop.customers()

    rebuild(shop.engine, customers_of(2), workers=4)
    switch(shop.engine, customers_of(2))

    assert shop.customers() == before


def test_a_table_that_another_program_has_filled(shop: Shop) -> None:
    """The first version takes its place."""
    shop.place(range(1, 31))
    with shop.engine.begin() as connection:
        connection.execute(text("INSERT INTO order_totals VALUES ('x', 'y', 1, 1, '[]')"))

    rebuild(shop.engine, totals_of())
    assert switch(shop.engine, totals_of()) == 0

    assert len(shop.totals()) == 30
    assert versions(shop) == [(0, "other", "public.order_totals_v0"), (1, "current", None)]
    drop(shop.engine, "totals", 0)
    totals_of().consumer().catch_up(shop.factory)


def test_an_inline_projection(shop: Shop) -> None:
    old, new = totals_of(), totals_of(2, factor=10)
    attach(shop.engine, old, new)
    make_inline(shop.engine, old)
    shop.place(range(1, 31))
    rebuild(shop.engine, new)
    shop.write(1, Paid(Decimal(1)))

    switch(shop.engine, new)

    assert shop.totals()["1"] == (Decimal(10), Decimal(2))
    shop.write(1, Paid(Decimal(1)))
    assert shop.totals()["1"] == (Decimal(10), Decimal(3))
    drop(shop.engine, "totals", 1)
    detach(shop.engine)
    attach(shop.engine, old)
    with pytest.raises(ProjectionRefused, match="version 2 is current and maintained inline, but"):
        shop.write(1, Paid(Decimal(1)))


def test_what_is_refused(filled: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = filled.engine
    with pytest.raises(ProjectionRefused, match="version 1 is the current one"):
        rebuild(engine, totals_of())
    with pytest.raises(ProjectionRefused, match="version 1 is current already"):
        switch(engine, totals_of())
    with pytest.raises(ProjectionRefused, match="version 2 has no table of its own: fill one"):
        switch(engine, totals_of(2))
    with pytest.raises(InvalidArgument, match="start must be 1 or 'earliest'"):
        rebuild(engine, totals_of(2), start=5)
    with pytest.raises(InvalidArgument, match="engine must be an instance"):
        rebuild(filled.factory, totals_of(2))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="read_from must be an instance of"):
        rebuild(engine, totals_of(2), read_from=engine)  # type: ignore[arg-type]
    is_async = Standbys(create_async_engine("postgresql+asyncpg://"))
    with pytest.raises(InvalidArgument, match="read_from must have sync engines"):
        rebuild(engine, totals_of(2), read_from=is_async)
    assert versions(filled) == [(1, "current", None)]
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE order_totals_v2 (id int)"))
    with pytest.raises(
        ProjectionRefused, match="order_totals_v2 exists, and is not that of a vers"
    ):
        rebuild(engine, totals_of(2))


def test_a_message_that_fails(filled: Shop) -> None:
    new = totals_of(2)
    new.handlers.pop("Paid")

    @new.on(Paid)
    def paid(row: Total | None, event: Paid, message: Any) -> Total | None:
        raise ZeroDivisionError

    with pytest.raises(HandlerFailed) as failed:
        rebuild(filled.engine, new)
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


def test_deleted_messages(filled: Shop) -> None:
    with filled.engine.begin() as connection:
        retention.set_policy(connection, "order", keep_last=1)
    retention.run(filled.engine)
    last = Projection("totals", "order", row=Total, types=types, version=2)
    last.on(Paid)(lambda row, event, message: Total(message.stream_name[6:], "", event.amount))

    with pytest.raises(MessagesDeleted):
        rebuild(filled.engine, last)
    assert versions(filled) == [(1, "current", None)]

    rebuild(filled.engine, last, start="earliest")

    assert len(filled.totals("order_totals_v2")) == 30


def test_retention_keeps_what_a_version_has_yet_to_apply(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdb_sqla.projections.fill_workers._BATCH_SIZE", 10)

    def interrupt(number: int) -> None:
        if number > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(filled.engine, totals_of(2), progress=interrupt, workers=1)
    with filled.engine.begin() as connection:
        retention.set_policy(connection, "order", keep_versions=False)

    (deletion,) = retention.run(filled.engine)

    assert deletion.messages == 20
    assert [str(each) for each in deletion.holds] == ["consumer totals:v2 is at 20"]
