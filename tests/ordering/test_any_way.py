"""A reader gets everything in whatever way it calls, and whatever its session knows from before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import URL

from tests.ordering import interleavings
from tests.ordering.follower import CATEGORY, READS, Follower, Read
from tests.ordering.interleavings import WAYS, set_granularity, write
from tests.ordering.readers import WRAPPERS
from tests.ordering.stage import Edit, stage

_CALLS = {
    "category": "message_store.get_category_messages('a', {})",
    "all": "message_store.get_messages(NULL, {})",
}
_WAYS_TO_CALL = {
    "in a query's list": "SELECT (message).global_position FROM (SELECT {} AS message) AS called",
    "for each row": (
        "SELECT global_position FROM (VALUES (1), (2)) AS turn (number), LATERAL {} AS message "
        "WHERE number = 2 ORDER BY 1"
    ),
    "in a subquery": (
        "WITH found AS MATERIALIZED (SELECT global_position FROM {}) "
        "SELECT global_position FROM found WHERE global_position IN (SELECT * FROM found) "
        "ORDER BY 1"
    ),
    "joined with the table": (
        "SELECT told.global_position FROM {} AS told "
        "LEFT JOIN message_store.messages USING (global_position) ORDER BY 1"
    ),
    "in an array": "SELECT unnest(ARRAY(SELECT global_position FROM {}))",
}

CALLS = {
    f"{name}, {way}": Read(
        query.format(call.format("%s")), categories="a" if name == "category" else "a,b"
    )
    for name, call in _CALLS.items()
    for way, query in _WAYS_TO_CALL.items()
} | {
    "category, wrapped as STABLE": Read(
        "SELECT global_position FROM public.wrapped_get_category_messages"
        "('a', %s, NULL, NULL, NULL, NULL)"
    ),
    "all, wrapped as STABLE": Read(
        "SELECT global_position FROM public.wrapped_get_messages(NULL, %s, NULL, NULL, NULL, NULL)",
        categories="a,b",
    ),
}

_PAUSE: Edit = (
    "read_bound(varchar[])",
    "BEGIN\n  IF pg_is_in_recovery",
    "BEGIN\n  PERFORM public.pause('last');\n  IF pg_is_in_recovery",
)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "interleaving",
    [
        interleavings.first_writer_is_slow,
        interleavings.first_writer_commits_while_reader_looks,
    ],
)
def test_a_call_in_any_query(
    stage_database: URL, call: str, interleaving: Callable[..., None]
) -> None:
    with stage(stage_database) as steps:
        steps.edit([_PAUSE])
        for wrapper in WRAPPERS:
            steps.control(wrapper)
        interleaving(steps, read=CALLS[call])


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("granularity", ["category", "stream"])
def test_every_way_to_write_with_every_way_to_read(
    stage_database: URL, granularity: str, way: str, read: str
) -> None:
    with stage(stage_database) as steps:
        interleavings.first_writer_is_slow(steps, READS[read], way, granularity)


@pytest.mark.parametrize("read", READS)
def test_plans_that_were_made_under_the_other_granularity(stage_database: URL, read: str) -> None:
    with stage(stage_database) as steps:
        set_granularity(steps, "category")
        first, second = steps.client(), steps.client()
        follower = Follower(steps, READS[read])
        for _ in range(7):
            write(first, "a-1")
            write(second, "a-2")
            follower.read()
        set_granularity(steps, "stream")
        first("BEGIN")
        write(first, "a-1")
        write(second, "a-2")
        follower.read()
        first("COMMIT")
        follower.check()


@pytest.mark.parametrize("read", READS)
def test_a_reader_that_writes_itself(stage_database: URL, read: str) -> None:
    with stage(stage_database) as steps:
        set_granularity(steps, "stream")
        first, second, third = (steps.client() for _ in range(3))
        follower = Follower(steps, READS[read], third)
        first("BEGIN")
        write(first, "a-1")
        third("BEGIN")
        write(third, "a-3")
        write(second, "a-2")
        follower.read()
        assert follower.seen == []
        first("COMMIT")
        follower.read()
        write(third, "a-3")
        follower.read()
        third("COMMIT")
        follower.check()
        assert len(follower.seen) == 4


def test_a_reader_that_writes_to_another_category_holds_nobody_back(stage_database: URL) -> None:
    """Its floor must not count for a category that it only reads, not even for an instant."""
    tries = "pg_try_advisory_lock(_key) AND "
    pause: Edit = ("read_bound(varchar[])", tries, f"{tries}public.pause('tried') AND ")
    with stage(stage_database) as steps:
        steps.edit([pause])
        set_granularity(steps, "stream")
        writer, follower = steps.client(), Follower(steps, CATEGORY)
        steps.close_gate("tried")
        writer.pause_at("tried")
        writer("BEGIN")
        write(writer, "b-1")
        write(steps.control, "a-1")
        reading = writer.start(CATEGORY.messages, 1)
        steps.arrive(writer, reading)
        follower.read()
        steps.open_gate("tried")
        assert steps.finish(reading) == [(2,)]
        assert follower.seen == [2]


def test_the_very_first_messages(stage_database: URL) -> None:
    with stage(stage_database) as steps:
        follower = Follower(steps, READS["settled all"])
        follower.read()
        interleavings.first_writer_is_slow(steps)
        follower.check()


@pytest.mark.parametrize("last", [2**31 - 2, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**40 - 1])
@pytest.mark.parametrize("read", READS)
def test_positions_beyond_32_bits(stage_database: URL, read: str, last: int) -> None:
    with stage(stage_database) as steps:
        interleavings.first_writer_is_slow(steps, READS[read], last=last)


def test_truncation_waits_for_a_writer_that_knows_the_last_position(stage_database: URL) -> None:
    with stage(stage_database) as steps:
        set_granularity(steps, "stream")
        for _ in range(3):
            write(steps.control, "b-1")
        first, second = steps.client(), steps.client()
        first("BEGIN")
        first("SELECT message_store.acquire_lock('a-1')")
        truncating = second.start("TRUNCATE message_store.messages RESTART IDENTITY")
        assert steps.arrive(second, truncating)
        first("COMMIT")
        steps.finish(truncating)


def test_locks_pass_to_a_prepared_transaction_while_they_are_looked_at(stage_database: URL) -> None:
    pause: Edit = (
        "read_bound(varchar[])",
        "  -- MATERIALIZED, to read all locks at one moment",
        "  PERFORM public.pause('locks');\n  -- MATERIALIZED, to read all locks at one moment",
    )
    with stage(stage_database) as steps:
        steps.edit([pause])
        for read in [CATEGORY, READS["all"]]:
            partial(interleavings.first_writer_prepares_while_locks_are_read, read=read)(steps)
            steps.control("TRUNCATE message_store.messages RESTART IDENTITY")
