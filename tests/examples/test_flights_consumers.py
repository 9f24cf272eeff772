"""The consumers of the flights example, run by `mdb host` and by `python -m flights`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from sqlalchemy import URL, Connection, text

from mdb_sqla import Message, MessageStore
from tests.examples.command import (
    PATIENCE,
    Command,
    connected,
    printed_totals,
    run,
    start,
    wait_until,
)
from tests.examples.flights_data import Flight, airports_of, arrivals_of, first_flights

COUNT = 3500

EACH = 5  # arrivals

HOST = ("-c", "from mdb_sqla.cli import main; main()", "host", "flights.consumers:host")

# Undoes the work of the consumers, and makes every inspection wait for a lock.
BEGIN_AGAIN = """
DELETE FROM message_store.messages WHERE stream_name LIKE 'maintenance%';
TRUNCATE airports, maintenance, message_store.consumer_slots, message_store.consumer_members;
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$;
CREATE TRIGGER wait BEFORE INSERT ON message_store.messages FOR EACH ROW
WHEN (NEW.type = 'Inspected') EXECUTE FUNCTION wait();
"""

INSPECTIONS = (
    "count(*) FROM message_store.messages "
    "WHERE type = 'Inspected' AND stream_name LIKE 'maintenance-%'"
)


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    return first_flights(COUNT)


@pytest.fixture(scope="module")
def finished(databases: Any) -> Iterator[tuple[URL, str]]:
    """A database after a run, and the output of the run."""
    with databases.create() as url:
        yield url, run(url, "-m", "flights", "--flights", str(COUNT))


@pytest.fixture(scope="module")
def loaded(databases: Any, finished: tuple[URL, str]) -> Iterator[URL]:
    with databases.create(template=finished[0]) as url:
        with connected(url) as engine, engine.begin() as connection:
            connection.execute(text(BEGIN_AGAIN))
        yield url


@pytest.fixture
def unconsumed(databases: Any, loaded: URL) -> Iterator[URL]:
    """A database with flights that no consumer has handled, where inspections wait for a lock."""
    with databases.create(template=loaded) as url:
        yield url


@contextmanager
def hosts(database: URL, number: int) -> Iterator[list[Command]]:
    """Processes of `mdb host`, until the end of the block."""
    with ExitStack() as stack:
        commands = []
        for _ in range(number):
            command = stack.enter_context(start(database, *HOST))
            stack.callback(command.kill)
            commands.append(command)
        yield commands


def stop(*commands: Command) -> None:
    for command in commands:
        command.send_signal(signal.SIGTERM)
    for command in commands:
        output, _ = command.communicate(timeout=PATIENCE)
        assert command.returncode == 0, output


def rows(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(text(statement))]


def check(database: URL, flights: list[Flight]) -> None:
    """The results of the consumers match the data."""
    arrivals = arrivals_of(flights)
    inspections = [
        (tail_number, number, EACH * (number + 1))
        for tail_number in sorted(arrivals)
        for number in range(arrivals[tail_number] // EACH)
    ]
    assert any(number > 0 for _, number, _ in inspections), "no order to check"
    statement = (
        "SELECT split_part(stream_name, '-', 2) COLLATE \"C\", position, "
        "(data->>'arrivals')::integer FROM message_store.messages "
        "WHERE message_store.category(stream_name) = '{}' AND type = '{}' ORDER BY 1, 2"
    )
    with connected(database) as engine, engine.connect() as connection:
        airports = rows(connection, "SELECT * FROM airports")
        assert {code: tuple(figures) for code, *figures in airports} == airports_of(flights)
        assert rows(connection, statement.format("maintenance:command", "Inspect")) == inspections
        assert rows(connection, statement.format("maintenance", "Inspected")) == inspections
        maintenance = rows(connection, "SELECT tail_number, arrivals, due, done FROM maintenance")
        assert sorted(maintenance) == sorted(
            (tail_number, number, 0, number // EACH) for tail_number, number in arrivals.items()
        )


def test_the_output_matches_the_data(finished: tuple[URL, str], flights: list[Flight]) -> None:
    database, output = finished
    number = sum(arrived // EACH for arrived in arrivals_of(flights).values())

    totals = printed_totals(output)
    for what in ("inspections requested", "inspections done", "inspections confirmed"):
        assert totals[what] == (number, number, "equal")
    assert "The consumers lost nothing and repeated nothing" in output
    check(database, flights)


def test_causes_and_correlations(finished: tuple[URL, str]) -> None:
    statement = """
    SELECT arrived.type, split_part(arrived.stream_name, '-', 2) AS tail_number,
           inspect.stream_name, inspect.metadata->>'correlationStreamName',
           inspected.stream_name, inspected.metadata->>'correlationStreamName'
    FROM message_store.messages inspected
    JOIN message_store.messages inspect ON inspect.global_position =
         (inspected.metadata->>'causationMessageGlobalPosition')::bigint
    JOIN message_store.messages arrived ON arrived.global_position =
         (inspect.metadata->>'causationMessageGlobalPosition')::bigint
    WHERE inspected.type = 'Inspected' AND inspect.type = 'Inspect'
    """
    with connected(finished[0]) as engine, engine.connect() as connection:
        found = rows(connection, statement)
        assert len(found) == connection.scalar(text(f"SELECT {INSPECTIONS}"))
    for type_, tail_number, *streams in found:
        assert type_ == "Arrived"
        fleet, maintenance = f"fleet-{tail_number}", f"maintenance-{tail_number}"
        assert streams == [f"maintenance:command-{tail_number}", fleet, maintenance, fleet]


def everything(connection: Connection) -> list[list[tuple[Any, ...]]]:
    return [
        rows(connection, statement)
        for statement in (
            "SELECT * FROM airports ORDER BY 1",
            "SELECT * FROM maintenance ORDER BY 1",
            "SELECT * FROM message_store.messages ORDER BY global_position",
        )
    ]


def test_a_second_run_repeats_nothing(databases: Any, finished: tuple[URL, str]) -> None:
    with (
        databases.create(template=finished[0]) as copy,
        connected(copy) as engine,
        engine.connect() as connection,
    ):
        before = everything(connection)
        connection.rollback()
        run(copy, "-m", "flights", "--flights", str(COUNT))

        assert everything(connection) == before


def test_a_run_with_more_flights_continues(databases: Any, finished: tuple[URL, str]) -> None:
    with databases.create(template=finished[0]) as copy:
        output = run(copy, "-m", "flights", "--flights", str(COUNT + 200))

        assert f"{COUNT:,} of them are already recorded." in output
        check(copy, first_flights(COUNT + 200))


def test_a_wrong_row_is_found(databases: Any, finished: tuple[URL, str]) -> None:
    with databases.create(template=finished[0]) as copy:
        with connected(copy) as engine, engine.begin() as connection:
            connection.execute(
                text("UPDATE airports SET departures = departures + 1 WHERE code = 'JFK'")
            )
        output = run(copy, "-m", "flights", "--flights", str(COUNT), status=1)

        assert "differ from the messages: JFK, airport departures." in output
        assert printed_totals(output)["airport departures"][2] == "different"


def test_a_killed_run_can_be_resumed(unconsumed: URL, flights: list[Flight]) -> None:
    with connected(unconsumed) as engine, engine.connect() as gate:
        gate.execute(text("SELECT pg_advisory_lock(4711)"))
        command = start(unconsumed, "-m", "flights", "--flights", str(COUNT))
        wait_until(engine, "count(*) > 0 FROM pg_locks WHERE objid = 4711 AND NOT granted")
        command.kill()
    # Its consumer process ends when the inspection that waits for the lock is done.
    command.communicate()

    run(unconsumed, "-m", "flights", "--flights", str(COUNT))
    check(unconsumed, flights)


def test_four_processes_share_the_work_and_one_is_killed(
    unconsumed: URL, flights: list[Flight]
) -> None:
    number = sum(arrived // EACH for arrived in arrivals_of(flights).values())
    with (
        connected(unconsumed) as engine,
        engine.connect() as table,
        engine.connect() as gate,
        hosts(unconsumed, 4) as commands,
    ):
        # No command is sent before each process has its share of the group.
        table.execute(text("LOCK TABLE maintenance IN SHARE MODE"))
        gate.execute(text("SELECT pg_advisory_lock(4711)"))
        wait_until(
            engine,
            "count(DISTINCT owner) = 4 FROM message_store.consumer_slots "
            "WHERE consumer = 'maintenance'",
        )
        table.rollback()
        # Each process waits in the middle of an inspection: the first to write for the gate, the
        # others for the first. No other consumer waits for a lock by then.
        wait_until(
            engine,
            "count(*) = 4 FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        # Kill the process that is also the only one to run the consumer inspections.
        owner = wait_until(
            engine, "owner FROM message_store.consumer_slots WHERE consumer = 'inspections'"
        )
        (killed,) = (command for command in commands if f"-{command.pid}-" in owner)
        killed.kill()
        killed.communicate()
        gate.close()
        wait_until(engine, f"sum(done) = {number} FROM maintenance")
        # The consumer airports may still be behind.
        movements = sum(left + landed for left, landed, *_ in airports_of(flights).values())
        wait_until(engine, f"sum(departures + arrivals) = {movements} FROM airports")
        stop(*(command for command in commands if command is not killed))

        with engine.connect() as connection:
            hangars = connection.scalar(
                text(
                    "SELECT count(DISTINCT data->>'hangar') FROM message_store.messages "
                    "WHERE type = 'Inspected'"
                )
            )
    assert hangars == 3
    check(unconsumed, flights)


def test_the_fleet_receives_only_what_it_requested(
    databases: Any, finished: tuple[URL, str]
) -> None:
    with (
        databases.create(template=finished[0]) as copy,
        connected(copy) as engine,
        hosts(copy, 1) as commands,
    ):
        with engine.connect() as connection:
            tail_number, done = rows(
                connection, "SELECT tail_number, done FROM maintenance ORDER BY done DESC LIMIT 1"
            )[0]
            before = connection.scalar(text(f"SELECT {INSPECTIONS}")) or 0
        with engine.begin() as connection:
            MessageStore(connection).write(
                f"maintenance:command-{tail_number}",
                [
                    Message("Inspect", {"arrivals": 0}, {"correlationStreamName": asked_by})
                    for asked_by in (f"authority-{tail_number}", f"fleet-{tail_number}")
                ],
            )
        wait_until(engine, f"done > {done} FROM maintenance WHERE tail_number = '{tail_number}'")
        stop(*commands)

        with engine.connect() as connection:
            assert connection.scalar(text(f"SELECT {INSPECTIONS}")) == before + 2
            assert (
                connection.scalar(
                    text("SELECT done FROM maintenance WHERE tail_number = :tail_number"),
                    {"tail_number": tail_number},
                )
                == done + 1
            )
