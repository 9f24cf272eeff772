"""A new version fills a table of its own, and takes the place of the old one."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, MetaData, Table, inspect, text
from sqlalchemy.orm import Session

from mdb_sqla import (
    Group,
    HandlerFailed,
    InvalidArgument,
    MessagesDeleted,
    ProjectionRefused,
    StoreBusy,
    StoredMessage,
    admin,
    retention,
)
from mdb_sqla.projections import (
    Projection,
    attach,
    detach,
    drop,
    make_inline,
    projections,
    rebuild,
    switch,
)
from tests.projections.conftest import Paid, Placed, Shop, Total, customers_of, totals_of, types
from tests.waiting import PATIENCE, wait_until


def versions(shop: Shop) -> list[tuple[int, str, str | None]]:
    with shop.engine.connect() as connection:
        return [(each.version, each.status, each.table) for each in projections(connection)]


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
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE order_totals_v2 (id int)"))
    with pytest.raises(
        ProjectionRefused, match="order_totals_v2 exists, and is not that of a vers"
    ):
        rebuild(engine, totals_of(2))


@pytest.mark.parametrize(
    ("statement", "dependent"),
    [
        ("CREATE VIEW paid AS SELECT id FROM order_totals", "view paid"),
        (
            "CREATE TABLE notes (id text REFERENCES order_totals)",
            "foreign key notes_id_fkey of table notes",
        ),
        ("ALTER TABLE order_totals ENABLE ROW LEVEL SECURITY", "row-level security"),
        (
            "CREATE TRIGGER t BEFORE UPDATE ON order_totals "
            "FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "trigger t",
        ),
        ("CREATE TABLE child () INHERITS (order_totals)", "child table child"),
        ("CREATE PUBLICATION p FOR TABLE order_totals", "publication p"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_an_exchange_would_leave_behind(filled: Shop, statement: str, dependent: str) -> None:
    with filled.engine.begin() as connection:
        connection.execute(text(statement))
    try:
        with pytest.raises(ProjectionRefused, match=f"has dependents: {dependent}"):
            rebuild(filled.engine, totals_of(2))
        assert versions(filled) == [(1, "current", None)]
    finally:
        with filled.engine.begin() as connection:
            connection.execute(text("DROP PUBLICATION IF EXISTS p"))


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


def test_indexes_privileges_sequences_and_comments(filled: Shop) -> None:
    """The table has the same names, for Alembic, and the same grants."""
    with filled.engine.begin() as connection:
        connection.execute(text("COMMENT ON TABLE order_totals IS 'totals: of orders'"))
        connection.execute(text("GRANT SELECT ON order_totals TO PUBLIC"))
        connection.execute(text("GRANT UPDATE (paid) ON order_totals TO pg_monitor"))
        before = _described(connection, "order_totals")
    rebuild(filled.engine, totals_of(2))

    switch(filled.engine, totals_of(2))

    with filled.engine.connect() as connection:
        assert _described(connection, "order_totals") == before
        old = _described(connection, "order_totals_v1")
    assert old[0] == [("ix_order_totals_customer_v1", ["customer"])]
    assert old[1] == "order_totals_v1_pkey"
    assert old[2] == "mdb_sqla: projection totals, version 1"


def _described(connection: Any, table: str) -> list[Any]:
    inspector = inspect(connection)
    return [
        [(each["name"], each["column_names"]) for each in inspector.get_indexes(table)],
        inspector.get_pk_constraint(table)["name"],
        inspector.get_table_comment(table)["text"],
        connection.scalar(
            text(
                "SELECT array_agg(format('%s %s', a.privilege_type, a.grantee) ORDER BY 1) "
                "FROM pg_class, aclexplode(relacl) AS a "
                "WHERE relname = :t AND a.grantee <> relowner"
            ),
            {"t": table},
        ),
        connection.scalar(
            text(
                "SELECT attacl::text FROM pg_attribute "
                "WHERE attrelid = CAST(:t AS regclass) AND attname = 'paid'"
            ),
            {"t": table},
        ),
    ]


def test_constraints_with_a_naming_convention_and_foreign_keys(shop: Shop) -> None:
    import dataclasses

    from sqlalchemy import CheckConstraint, Integer, UniqueConstraint

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
        }
    )
    Table("parents", metadata, Column("id", Integer, primary_key=True))
    table = Table(
        "counts",
        metadata,
        Column("id", Integer, primary_key=True),  # with a sequence
        Column("parent", ForeignKey("parents.id")),
        Column("number", Integer, comment="of orders"),
        UniqueConstraint("number"),
        CheckConstraint("number > 0", name="positive"),
    )

    @dataclasses.dataclass
    class Count:
        id: int
        number: int

    def counts_of(version: int) -> Projection[Count]:
        counts = Projection("counts", "order", row=Count, table=table, version=version)
        counts.on("Placed")(
            lambda row, message: Count(
                int(message.stream_name[6:]), message.position + int(message.stream_name[6:])
            )
        )
        return counts

    metadata.create_all(shop.engine)
    shop.place(range(1, 4))
    counts_of(1).consumer().catch_up(shop.factory)

    def described() -> Any:
        inspector = inspect(shop.engine)
        with shop.engine.connect() as connection:
            sequence = connection.scalar(text("SELECT pg_get_serial_sequence('counts', 'id')"))
        return (
            inspector.get_pk_constraint("counts")["name"],
            inspector.get_unique_constraints("counts"),
            inspector.get_foreign_keys("counts"),
            inspector.get_check_constraints("counts"),
            str(inspector.get_columns("counts")),
            sequence,
        )

    before = described()
    for version in (2, 3):
        rebuild(shop.engine, counts_of(version))
        switch(shop.engine, counts_of(version))
        drop(shop.engine, "counts", version - 1)

        assert described() == before


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
