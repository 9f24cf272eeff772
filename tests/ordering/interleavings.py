"""Orders of steps in which a reader skips a message, unless each step of the algorithm is there.

Everywhere the first writer draws the lower position and commits last.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from tests.ordering.follower import CATEGORY, SETTLED, Follower, Read
from tests.ordering.stage import Client, Stage

_VALUES = "'T', '{}', '{\"correlationStreamName\": \"c-1\"}'"

WAYS = {
    "write_message": [
        f"SELECT message_store.write_message(gen_random_uuid()::varchar, '%s', {_VALUES})"
    ],
    "write_messages": [
        # Two, for one by itself goes the way of write_message.
        "SELECT message_store.write_messages(jsonb_agg(jsonb_build_object("
        "'id', gen_random_uuid(), 'stream_name', '%s', 'type', 'T', "
        "'metadata', '{\"correlationStreamName\": \"c-1\"}'::jsonb))) FROM generate_series(1, 2)"
    ],
    "prepare_copy": [
        "INSERT INTO message_store.messages "
        "(global_position, position, stream_name, type, data, metadata) "
        f"SELECT global_positions[1], versions[1] + 1, '%s', {_VALUES} "
        "FROM message_store.prepare_copy('{%s}', 1)"
    ],
    "acquire_lock": [
        "SELECT message_store.acquire_lock('%s')",
        "INSERT INTO message_store.messages (position, stream_name, type, data, metadata) "
        f"SELECT coalesce(message_store.stream_version('%s'), -1) + 1, '%s', {_VALUES}",
    ],
}
"""The statements that write a message to a stream, whose name is put in for `%s`."""

Interleaving = Callable[[Stage], None]


def write(client: Client, stream_name: str, way: str = "write_message") -> None:
    for statement in WAYS[way]:
        client(_text(statement, stream_name))


def set_granularity(stage: Stage, granularity: str) -> None:
    stage.control(f"SELECT message_store.set_lock_granularity('{granularity}')")


def first_writer_is_slow(
    stage: Stage,
    read: Read = CATEGORY,
    way: str = "write_message",
    granularity: str = "stream",
    last: int | None = None,
) -> None:
    """It is still at work when the second one has committed."""
    set_granularity(stage, granularity)
    if last is not None:
        stage.control(f"SELECT setval('message_store.messages_global_position_seq', {last})")
    first, second, follower = stage.client(), stage.client(), Follower(stage, read)
    first("BEGIN")
    write(first, "a-1", way)
    # Where the first has the category to itself, the second takes another.
    alone = granularity == "category" or way == "acquire_lock"
    write(second, "b-2" if alone else "a-2")
    follower.read()
    first("COMMIT")
    follower.check()


def first_writer_prepares(stage: Stage, read: Read = CATEGORY) -> None:
    """It waits for the second phase of its commit."""
    stage.need_two_phase_commit()
    set_granularity(stage, "stream")
    first, second, follower = stage.client(), stage.client(), Follower(stage, read)
    first("BEGIN")
    write(first, "a-1")
    first("PREPARE TRANSACTION 'first'")
    try:
        write(second, "a-2")
        follower.read()
    finally:
        first("COMMIT PREPARED 'first'")
    follower.check()


def first_writer_prepares_while_locks_are_read(stage: Stage, read: Read = CATEGORY) -> None:
    """Its locks pass to the prepared transaction while a reader looks at them."""
    stage.need_two_phase_commit()
    set_granularity(stage, "stream")
    first, second = stage.client(), stage.client()
    follower = Follower(stage, read)
    first("BEGIN")
    write(first, "a-1")
    write(second, "a-2")
    stage.close_gate("locks")
    follower.client.pause_at("locks")
    reading = follower.start()
    assert stage.arrive(follower.client, reading)
    first("PREPARE TRANSACTION 'first'")
    try:
        stage.open_gate("locks")
        follower.finish(reading)
    finally:
        first("COMMIT PREPARED 'first'")
    follower.check()


def writer_goes_on_to_the_category(stage: Stage, read: Read = SETTLED) -> None:
    """With a floor from before, after the reader asked what is settled and before it reads."""
    set_granularity(stage, "stream")
    first, second, follower = stage.client(), stage.client(), Follower(stage, read)
    first("BEGIN")
    write(first, "b-1")
    write(second, "a-2")
    follower.settle()
    write(first, "a-1")
    follower.read_on()
    first("COMMIT")
    follower.check()


def first_writer_is_slow_to_take_its_floor(stage: Stage, read: Read = SETTLED) -> None:
    """It names a position that by then is settled for a reader, which has not read up to there."""
    set_granularity(stage, "stream")
    first, second, follower = stage.client(), stage.client(), Follower(stage, read)
    stage.close_gate("floor")
    first.pause_at("floor")
    first("BEGIN")
    writing = first.start(_text(WAYS["write_message"][0], "a-1"))
    assert stage.arrive(first, writing)
    write(second, "a-2")
    follower.client("BEGIN")
    follower.settle()
    stage.open_gate("floor")
    stage.finish(writing)
    follower.read_on()
    follower.client("COMMIT")
    first("COMMIT")
    follower.check()


def first_writer_went_back_to_a_savepoint(
    stage: Stage, read: Read = CATEGORY, way: str = "write_message"
) -> None:
    """And its floor with it, so that it needs another."""
    set_granularity(stage, "stream")
    first, second, follower = stage.client(), stage.client(), Follower(stage, read)
    first("BEGIN")
    first("SAVEPOINT before")
    write(first, "a-1", way)
    first("ROLLBACK TO SAVEPOINT before")
    write(first, "a-1", way)
    write(second, "b-2" if way == "acquire_lock" else "a-2")
    follower.read()
    first("COMMIT")
    follower.check()


def first_writer_stops(
    stage: Stage, read: Read = CATEGORY, way: str = "write_message", place: str = "draw"
) -> None:
    """It stops between two of its steps, while the second one comes and goes."""
    set_granularity(stage, "stream")
    first, second, follower = stage.client(), stage.client(), Follower(stage, read)
    stage.close_gate(place)
    first.pause_at(place)
    first("BEGIN")
    *before, writing = WAYS[way]
    for statement in before:
        first(_text(statement, "a-1"))
    running = first.start(_text(writing, "a-1"))
    assert stage.arrive(first, running)
    write(second, "a-2")
    follower.read()
    stage.open_gate(place)
    stage.finish(running)
    follower.read()
    first("COMMIT")
    follower.check()


def writers_begin_while_reader_looks(stage: Stage, read: Read = CATEGORY) -> None:
    """The reader stops between its first and its second step."""
    set_granularity(stage, "stream")
    first, second, follower = stage.client(), stage.client(), Follower(stage, read)
    write(first, "a-0")
    stage.close_gate("locks")
    follower.client.pause_at("locks")
    reading = follower.start()
    assert stage.arrive(follower.client, reading)
    first("BEGIN")
    write(first, "a-1")
    write(second, "a-2")
    stage.open_gate("locks")
    follower.finish(reading)
    first("COMMIT")
    follower.check()


def first_writer_commits_while_reader_looks(stage: Stage, read: Read = CATEGORY) -> None:
    """The reader has begun, but has not looked at the sequence and the locks yet."""
    set_granularity(stage, "stream")
    first, second, follower = stage.client(), stage.client(), Follower(stage, read)
    first("BEGIN")
    write(first, "a-1")
    write(second, "a-2")
    stage.close_gate("last")
    follower.client.pause_at("last")
    reading = follower.start()
    assert stage.arrive(follower.client, reading)
    first("COMMIT")
    stage.open_gate("last")
    follower.finish(reading)
    follower.check()


def reader_has_an_old_snapshot(stage: Stage, read: Read = CATEGORY, switch: bool = False) -> None:
    """Its snapshot is from before the first writer's commit, what it looks at from after that.

    With `switch`, the granularity is `category` by then. The reader may be refused.
    """
    set_granularity(stage, "stream")
    first, second, follower = stage.client(), stage.client(), Follower(stage, read)
    first("BEGIN")
    write(first, "a-1")
    write(second, "a-2")
    follower.client("BEGIN ISOLATION LEVEL REPEATABLE READ")
    follower.client("SELECT 1 FROM pg_class")
    first("COMMIT")
    if switch:
        set_granularity(stage, "category")
    try:
        follower.read()
    except psycopg.errors.DatabaseError as error:
        assert error.diag.constraint_name == "read_not_exact"  # noqa: PT017
    follower.client("ROLLBACK")
    follower.check()


def switch_to_category(stage: Stage, read: Read = CATEGORY) -> None:
    """While both writers are at work by `stream`."""
    set_granularity(stage, "stream")
    first, second, other = stage.client(), stage.client(), stage.client()
    follower = Follower(stage, read)
    first("BEGIN")
    write(first, "a-1")
    second("BEGIN")
    write(second, "a-2")
    switching = other.start("SELECT message_store.set_lock_granularity('category')")
    stage.arrive(other, switching)
    second("COMMIT")
    follower_reads(stage, follower, first)
    stage.finish(switching)
    follower.check()


def switch_while_writers_look(stage: Stage, read: Read = CATEGORY) -> None:
    """Both writers know the granularity, and have no locks yet."""
    set_granularity(stage, "stream")
    first, second, other = stage.client(), stage.client(), stage.client()
    follower = Follower(stage, read)
    stage.close_gate("granularity")
    statements = []
    for client, stream_name in ((first, "a-1"), (second, "a-2")):
        client.pause_at("granularity")
        client("BEGIN")
        statement = client.start(_text(WAYS["write_message"][0], stream_name))
        assert stage.arrive(client, statement)
        statements.append(statement)
    switching = other.start("SELECT message_store.set_lock_granularity('category')")
    stage.arrive(other, switching)
    stage.open_gate("granularity")
    for statement in statements:
        stage.finish(statement)
    ((drawn_first,),) = first(
        "SELECT global_position FROM message_store.messages WHERE stream_name = 'a-1'"
    )
    ((drawn_second,),) = second(
        "SELECT global_position FROM message_store.messages WHERE stream_name = 'a-2'"
    )
    # Whichever drew first is the slow one.
    slow, fast = (first, second) if drawn_first < drawn_second else (second, first)
    fast("COMMIT")
    follower_reads(stage, follower, slow)
    stage.finish(switching)
    follower.check()


def switch_to_stream_while_reader_looks(stage: Stage, read: Read = CATEGORY) -> None:
    """The reader knows the granularity `category`, and has no snapshot of what it reads yet."""
    set_granularity(stage, "category")
    first, second, follower = stage.client(), stage.client(), Follower(stage, read)
    write(first, "a-0")
    stage.close_gate("snapshot")
    follower.client.pause_at("snapshot")
    reading = follower.start()
    assert stage.arrive(follower.client, reading)
    set_granularity(stage, "stream")
    first("BEGIN")
    write(first, "a-1")
    write(second, "a-2")
    stage.open_gate("snapshot")
    follower.finish(reading)
    first("COMMIT")
    follower.check()


def switches_while_reader_looks(stage: Stage, read: Read = SETTLED) -> None:
    """There and back, before the reader finds out why it has got nothing."""
    set_granularity(stage, "category")
    write(stage.client(), "a-1")
    follower = Follower(stage, read)
    follower.client.pause_at("snapshot", "nothing")
    stage.close_gate("snapshot")
    stage.close_gate("nothing")
    reading = follower.start()
    assert stage.arrive(follower.client, reading)
    set_granularity(stage, "stream")
    stage.open_gate("snapshot")
    stage.arrive(follower.client, reading, "nothing")
    set_granularity(stage, "category")
    stage.open_gate("nothing")
    follower.finish(reading)
    follower.check()


def reader_switches(stage: Stage, read: Read = CATEGORY) -> None:
    """In a transaction whose snapshot is from before its barrier. It may be refused."""
    set_granularity(stage, "stream")
    first, second, follower = stage.client(), stage.client(), Follower(stage, read)
    first("BEGIN")
    write(first, "a-1")
    write(second, "a-2")
    follower.client("BEGIN ISOLATION LEVEL REPEATABLE READ")
    switching = follower.client.start("SELECT message_store.set_lock_granularity('category')")
    stage.arrive(follower.client, switching)
    first("COMMIT")
    try:
        stage.finish(switching)
        follower.read()
    except psycopg.errors.DatabaseError as error:
        is_refused = error.diag.constraint_name == "read_not_exact"
        assert is_refused or error.sqlstate == "25000"  # noqa: PT017
    follower.client("COMMIT")
    follower.check()


def follower_reads(stage: Stage, follower: Follower, slow: Client) -> None:
    """Read, then let the slow writer commit, whether or not the reader has to wait for that."""
    reading = follower.start()
    stage.arrive(follower.client, reading)
    if reading.done():
        follower.finish(reading)
        slow("COMMIT")
    else:
        slow("COMMIT")
        follower.finish(reading)


def _text(statement: str, stream_name: str) -> str:
    return statement.replace("%s", stream_name)
