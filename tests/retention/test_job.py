"""What the job deletes, what it keeps, and what it says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mdb_sqla import InvalidArgument, MessageStore, retention, tables
from tests.retention.conftest import Store

DAY = timedelta(days=1)
BATCHES = pytest.mark.parametrize("batch_size", [1, 3, 2_000])


@BATCHES
def test_by_age(store: Store, batch_size: int) -> None:
    store.write("order-1", 3, days=3)
    store.write("other-1", 2, days=3)
    store.write("order-2", 2, days=2)
    store.write("order-1", 2)
    store.policy("order", keep_age=DAY)

    (planned,) = retention.plan(store.engine)
    assert len(store.left()) == 9
    (done,) = retention.run(store.engine, batch_size=batch_size)

    assert store.left() == [("other-1", 0), ("other-1", 1), ("order-1", 3), ("order-1", 4)]
    assert planned == done
    assert (done.messages, done.first_global_position, done.last_global_position) == (5, 1, 7)
    assert done.first_time is not None
    assert done.last_time is not None
    assert done.first_time < done.last_time
    assert done.holds == ()
    assert store.rows(tables.stream_heads) == [("order-1", 2), ("order-2", 1)]
    assert store.rows(tables.deleted_positions) == [("order", 7, True)]
    assert store.is_sound()


@BATCHES
def test_by_number(store: Store, batch_size: int) -> None:
    for _ in range(2):
        store.write("order-1", 3)
        store.write("order-2", 1)
    store.policy("order", keep_last=2)
    (planned,) = retention.plan(store.engine)
    (done,) = retention.run(store.engine, batch_size=batch_size)
    assert planned == done
    assert store.left() == [("order-2", 0), ("order-1", 4), ("order-1", 5), ("order-2", 1)]
    assert store.is_sound()
    assert retention.run(store.engine)[0].messages == 0


@BATCHES
def test_every_rule_keeps(store: Store, batch_size: int) -> None:
    store.write("order-1", 3, days=2)
    store.write("order-1", 1)
    store.write("order-2", 2, days=2)
    store.policy("order", keep_age=DAY, keep_last=2)
    retention.run(store.engine, batch_size=batch_size)
    assert store.left() == [("order-1", 2), ("order-1", 3), ("order-2", 0), ("order-2", 1)]


@BATCHES
def test_an_outbox(store: Store, batch_size: int) -> None:
    store.write("outbox-1", 3)
    store.consume("relay", "outbox")
    store.write("outbox-2", 2)
    store.policy("outbox")

    (done,) = retention.run(store.engine, batch_size=batch_size)
    assert store.left() == [("outbox-2", 0), ("outbox-2", 1)]
    assert [str(hold) for hold in done.holds] == ["consumer relay is at 3"]
    store.consume("relay", "outbox")
    (done,) = retention.run(store.engine, batch_size=batch_size)
    assert store.left() == []
    assert done.holds == ()
    assert store.is_sound()


def test_an_outbox_that_nobody_reads(store: Store) -> None:
    store.write("outbox-1", 3)
    store.policy("outbox")
    store.consume("audit", "other")
    (done,) = retention.run(store.engine)
    assert done.messages == 0
    assert [str(hold) for hold in done.holds] == ["no consumer reads the category"]
    assert len(store.left()) == 3


@pytest.mark.parametrize("categories", [[], ["order"], ["x", "order"]])
def test_a_consumer_holds_back_every_rule(store: Store, categories: list[str]) -> None:
    store.write("order-1", 2, days=9)
    store.consume("billing", *categories)
    store.write("order-1", 2, days=9)
    store.policy("order", keep_age=DAY)
    (planned,) = retention.plan(store.engine)
    (done,) = retention.run(store.engine)
    assert planned == done
    assert store.left() == [("order-1", 2), ("order-1", 3)]
    assert [str(hold) for hold in done.holds] == ["consumer billing is at 2"]


def test_a_consumer_of_another_category_holds_nothing(store: Store) -> None:
    store.write("order-1", 2, days=9)
    store.consume("billing", "invoice")
    store.policy("order", keep_age=DAY)
    (done,) = retention.run(store.engine)
    assert (done.messages, done.holds) == (2, ())


def test_a_slot_that_was_never_acquired_holds(store: Store) -> None:
    store.write("order-1", 4, days=9)
    store.consume("billing", "order")
    store.execute("UPDATE message_store.consumer_slots SET slots = 2")
    store.policy("order", keep_age=DAY)
    (done,) = retention.run(store.engine)
    assert [str(hold) for hold in done.holds] == ["consumer billing is at 0"]
    store.execute("UPDATE message_store.consumers SET start = 3")
    (done,) = retention.run(store.engine)
    assert (done.messages, [str(hold) for hold in done.holds]) == (2, ["consumer billing is at 2"])


def test_a_consumer_that_has_not_said_what_it_reads(store: Store) -> None:
    store.write("order-1", 4, days=9)
    store.consume("billing", "invoice")
    store.execute("DELETE FROM message_store.consumers")
    store.execute("UPDATE message_store.consumer_slots SET position = 1")
    store.policy("order", keep_age=DAY)
    (done,) = retention.run(store.engine)
    assert (done.messages, [str(hold) for hold in done.holds]) == (1, ["consumer billing is at 1"])


@BATCHES
def test_dead_letters_hold_their_streams(store: Store, batch_size: int) -> None:
    store.write("order-1", 3, days=9)
    store.write("order-2", 3, days=9)
    store.consume("billing", "order")
    store.dead_letter("billing", "order-1", 1)
    store.policy("order", keep_age=DAY)
    (planned,) = retention.plan(store.engine)
    (done,) = retention.run(store.engine, batch_size=batch_size)
    assert planned == done
    assert store.left() == [("order-1", 1), ("order-1", 2)]
    assert [str(hold) for hold in done.holds] == ["consumer billing has 1 dead letter"]
    store.execute("DELETE FROM message_store.dead_letters")
    retention.run(store.engine)
    assert store.left() == []
    assert store.is_sound()


@BATCHES
def test_times_out_of_order_leave_no_gap(store: Store, batch_size: int) -> None:
    """A long transaction writes after others, with an earlier time."""
    store.write("order-1", 1, days=9)
    store.write("order-1", 1)
    store.write("order-1", 2, days=9)
    store.write("order-2", 1, days=9)
    store.policy("order", keep_age=DAY)
    retention.run(store.engine, batch_size=batch_size)
    assert ("order-1", 0) not in store.left()
    assert [position for name, position in store.left() if name == "order-1"] == [1, 2, 3]
    assert store.is_sound()


def test_forgotten_versions(store: Store) -> None:
    store.write("outbox-1", 2, days=9)
    store.policy("outbox", keep_age=DAY, keep_versions=False)
    retention.run(store.engine)
    assert store.rows(tables.stream_heads) == []
    assert store.rows(tables.deleted_positions) == [("outbox", 2, False)]
    store.write("outbox-1", 1)
    assert store.left() == [("outbox-1", 0)]
    # A stream that was written to while it was forgotten.
    store.execute("UPDATE message_store.messages SET position = 2")
    assert store.is_sound()


def test_chosen_categories(store: Store) -> None:
    for category in ("a", "b", "c"):
        store.write(f"{category}-1", 1, days=9)
        if category != "c":
            store.policy(category, keep_age=DAY)
    assert [each.policy.category for each in retention.plan(store.engine)] == ["a", "b"]
    retention.run(store.engine, categories=["b"])
    assert store.left() == [("a-1", 0), ("c-1", 0)]
    with pytest.raises(InvalidArgument, match="There is no retention policy for category 'c'"):
        retention.run(store.engine, categories=["a", "c"])
    assert store.left() == [("a-1", 0), ("c-1", 0)]


def test_an_ignored_consumer(store: Store) -> None:
    store.write("order-1", 4, days=9)
    store.consume("billing", "order")
    store.execute("UPDATE message_store.consumer_slots SET position = 1")
    store.policy("order", keep_age=DAY)
    with pytest.raises(InvalidArgument, match="There is no consumer 'biling' to ignore"):
        retention.run(store.engine, ignore_consumers=["biling"])
    with pytest.raises(InvalidArgument, match="must be a list of names, got 'billing'"):
        retention.run(store.engine, ignore_consumers="billing")
    assert len(store.left()) == 4
    (done,) = retention.run(store.engine, ignore_consumers=["billing"])
    assert (done.messages, done.holds) == (4, ())


def test_an_outbox_whose_only_consumer_is_ignored(store: Store) -> None:
    store.write("outbox-1", 3)
    store.consume("relay", "other")
    store.execute("UPDATE message_store.consumers SET categories = '{outbox}'")
    store.execute("UPDATE message_store.consumer_slots SET position = 1")
    store.policy("outbox")
    (done,) = retention.run(store.engine, ignore_consumers=["relay"])
    assert (done.messages, done.holds) == (3, ())


def test_the_log_of_deletions(store: Store) -> None:
    store.write("order-1", 5, days=9)
    store.policy("order", keep_age=DAY)
    batches: list[tuple[int, int]] = []
    # Each is committed when it is reported.
    retention.run(
        store.engine, batch_size=2, on_batch=lambda n: batches.append((n, len(store.left())))
    )
    assert batches == [(0, 5), (2, 3), (4, 1), (5, 0)]
    (row,) = store.rows(tables.deletions)
    _, kind, category, _, _, reason, archive, messages, first, last, _, started_at, updated_at = row
    assert kind == "retention"
    assert (category, reason) == ("order", "retention policy: keep for 1 d")
    assert archive is None
    assert (messages, first, last) == (5, 1, 5)
    assert started_at < updated_at
    retention.run(store.engine)
    assert len(store.rows(tables.deletions)) == 1
    store.write("order-1", 1, days=9)
    retention.run(store.engine)
    assert [row[7] for row in store.rows(tables.deletions)] == [5, 1]


def test_a_batch_that_fails_leaves_everything(store: Store) -> None:
    store.write("order-1", 5, days=9)
    store.policy("order", keep_age=DAY)
    store.execute(
        "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RAISE EXCEPTION ''no''; END'"
    )
    store.execute(
        "CREATE TRIGGER fail BEFORE UPDATE ON message_store.deletions "
        "EXECUTE FUNCTION public.fail()"
    )
    with pytest.raises(Exception, match="no"):
        retention.run(store.engine, batch_size=2)
    assert [position for _, position in store.left()] == [2, 3, 4]
    assert store.rows(tables.stream_heads) == [("order-1", 1)]
    assert store.rows(tables.deleted_positions) == [("order", 2, True)]
    store.execute("DROP TRIGGER fail ON message_store.deletions")
    retention.run(store.engine)
    assert store.left() == []
    assert store.is_sound()


def test_versions_through_the_store(store: Store) -> None:
    store.write("order-1", 3, days=9)
    store.policy("order", keep_age=DAY)
    retention.run(store.engine)
    with store.engine.begin() as connection:
        assert MessageStore(connection).version("order-1") == 2
