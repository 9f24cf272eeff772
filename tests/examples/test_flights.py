"""The flights example, run as users do: `python -m flights` in its directory."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, text

from tests.examples.command import (
    EXAMPLE,
    PATIENCE,
    Command,
    connected,
    printed_totals,
    run,
    start,
    wait_until,
)
from tests.examples.flights_data import Flight, airports_of, first_flights

COUNT = 300


def everything(database: URL) -> list[list[Any]]:
    """The contents of the tables and streams, without what differs between runs."""
    statements = (
        "SELECT * FROM aircraft ORDER BY tail_number",
        "SELECT * FROM airlines ORDER BY code",
        "SELECT stream_name, position, type, data, metadata FROM message_store.messages "
        "ORDER BY stream_name, position",
    )
    with connected(database) as engine, engine.connect() as connection:
        return [list(connection.execute(text(statement))) for statement in statements]


@pytest.fixture(scope="module")
def finished(databases: Any) -> Iterator[tuple[URL, str]]:
    """A database after a run without interruption, and the output of the run."""
    with databases.create() as url:
        yield url, run(url, "-m", "flights", "--flights", str(COUNT))


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    return first_flights(COUNT)


def expected_totals(flights: list[Flight]) -> dict[str, int]:
    totals = Counter[str](Departed=0, Arrived=0, Diverted=0, Cancelled=0)
    for flight in flights:
        if flight["dep_time"] == "NA":
            totals["Cancelled"] += 1
        else:
            totals["Departed"] += 1
            totals["Diverted" if flight["arr_time"] == "NA" else "Arrived"] += 1
        if flight["arr_delay"] != "NA":
            totals["minutes late"] += max(int(flight["arr_delay"]), 0)
    departures, arrivals, minutes, _longest = zip(*airports_of(flights).values(), strict=True)
    totals["airport departures"] = sum(departures)
    totals["airport arrivals"] = sum(arrivals)
    totals["airport minutes late"] = sum(minutes)
    # No aircraft has arrived five times.
    totals.update({f"inspections {what}": 0 for what in ("requested", "done", "confirmed")})
    return dict(totals)


def test_the_summary_matches_the_data(finished: tuple[URL, str], flights: list[Flight]) -> None:
    _, output = finished

    assert printed_totals(output) == {
        name: (total, total, "equal") for name, total in expected_totals(flights).items()
    }
    owners = {
        flight["carrier"] if flight["tailnum"] == "NA" else flight["tailnum"] for flight in flights
    }
    assert f"All {len(owners)} rows equal those rebuilt from messages." in output
    assert "300 of 300" in output
    assert str(Path.home()) not in output
    assert str(EXAMPLE) not in output


def test_the_stream_of_an_aircraft_matches_the_data(
    finished: tuple[URL, str], flights: list[Flight]
) -> None:
    database, _ = finished
    counts = Counter(flight["tailnum"] for flight in flights if flight["dep_time"] != "NA")
    tail_number, _count = counts.most_common(1)[0]
    own = [flight for flight in flights if flight["tailnum"] == tail_number]
    _, _, messages = everything(database)
    history = [row for row in messages if row.stream_name == f"aircraft-{tail_number}"]
    departures = [row for row in history if row.type == "Departed"]

    assert [row.position for row in history] == list(range(len(history)))
    assert [
        (row.data["origin"], row.data["destination"], row.data["delay"]) for row in departures
    ] == [
        (flight["origin"], flight["dest"], int(flight["dep_delay"]))
        for flight in own
        if flight["dep_delay"] != "NA"
    ]
    for row, flight in zip(departures, own, strict=False):
        scheduled = datetime.fromisoformat(row.data["scheduled"])
        assert scheduled.hour == int(flight["hour"])
        assert scheduled - timedelta(minutes=scheduled.minute) == datetime.fromisoformat(
            flight["time_hour"]
        )


def test_alembic_has_nothing_to_add(finished: tuple[URL, str]) -> None:
    database, _ = finished

    assert "No new upgrade operations detected" in run(database, "-m", "alembic", "check")


def test_a_second_run_records_nothing(databases: Any, finished: tuple[URL, str]) -> None:
    database, first = finished
    with databases.create(template=database) as copy:
        output = run(copy, "-m", "flights", "--flights", str(COUNT))

        assert f"{COUNT} of them are already recorded" in output
        assert printed_totals(output) == printed_totals(first)
        assert everything(copy) == everything(database)


def test_a_wrong_row_is_found(databases: Any, finished: tuple[URL, str]) -> None:
    database, _ = finished
    with databases.create(template=database) as copy:
        with connected(copy) as engine, engine.begin() as connection:
            wrong = connection.scalar(
                text(
                    "UPDATE aircraft SET minutes_late = minutes_late + 1 "
                    "WHERE tail_number = (SELECT min(tail_number) FROM aircraft) "
                    "RETURNING tail_number"
                )
            )
        output = run(copy, "-m", "flights", "--flights", str(COUNT), status=1)

        assert f"differ from the messages: aircraft-{wrong}, minutes late." in output
        assert printed_totals(output)["minutes late"][2] == "different"


@pytest.fixture(scope="module")
def begun(databases: Any) -> Iterator[URL]:
    """A database with some flights, where a later transaction waits for a lock."""
    with databases.create() as url:
        run(url, "-m", "flights", "--flights", "20")
        with connected(url) as engine, engine.begin() as connection:
            connection.execute(
                text(
                    "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    "PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$"
                )
            )
            connection.execute(
                text(
                    "CREATE TRIGGER wait BEFORE INSERT ON message_store.messages FOR EACH ROW "
                    "WHEN (NEW.global_position > 200) EXECUTE FUNCTION wait()"
                )
            )
        yield url


@pytest.fixture
def unfinished(databases: Any, begun: URL) -> Iterator[URL]:
    with databases.create(template=begun) as url:
        yield url


def check_counts(database: URL) -> None:
    """The rows count exactly the messages."""
    aircraft, airlines, messages = everything(database)
    counted = sum(row.departed + row.arrived + row.diverted + row.cancelled for row in aircraft)
    assert counted + sum(row.cancelled for row in airlines) == len(messages)


@contextmanager
def held_up(database: URL) -> Iterator[tuple[Engine, Command]]:
    """A run that waits in the middle of a transaction until the end of the block."""
    with connected(database) as engine, engine.connect() as gate:
        gate.execute(text("SELECT pg_advisory_lock(4711)"))
        command = start(database, "-m", "flights", "--flights", str(COUNT))
        wait_until(engine, "count(*) > 0 FROM pg_locks WHERE objid = 4711 AND NOT granted")
        yield engine, command


def test_a_killed_run_leaves_no_partial_transaction(
    unfinished: URL, finished: tuple[URL, str]
) -> None:
    with held_up(unfinished) as (_, command):
        command.kill()
        command.communicate()
    check_counts(unfinished)

    output = run(unfinished, "-m", "flights", "--flights", str(COUNT))

    assert "are already recorded" in output
    assert printed_totals(output) == printed_totals(finished[1])
    assert everything(unfinished) == everything(finished[0])


def test_an_interrupted_run_prints_a_message(unfinished: URL, finished: tuple[URL, str]) -> None:
    with held_up(unfinished) as (_, command):
        command.send_signal(signal.SIGINT)
        time.sleep(0.5)
    output, _ = command.communicate(timeout=PATIENCE)

    assert command.returncode == 130
    assert "Interrupted. Each flight is recorded completely or not at all." in output
    assert "Traceback" not in output
    check_counts(unfinished)
    run(unfinished, "-m", "flights", "--flights", str(COUNT))
    assert everything(unfinished) == everything(finished[0])


def test_concurrent_runs_record_nothing_twice(unfinished: URL, finished: tuple[URL, str]) -> None:
    with held_up(unfinished) as (engine, first):
        second = start(unfinished, "-m", "flights", "--flights", str(COUNT))
        # The first run has four writers, so a fifth waiting writer is the second's.
        wait_until(
            engine,
            "count(*) > 4 FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
    for command in (first, second):
        output, _ = command.communicate(timeout=PATIENCE)
        assert command.returncode == 0 or "Another run is recording" in output

    run(unfinished, "-m", "flights", "--flights", str(COUNT))
    assert everything(unfinished) == everything(finished[0])


def test_the_snippets_in_the_readme_match_the_code() -> None:
    readme = (EXAMPLE / "README.md").read_text()
    modules = (path.read_text() for path in sorted((EXAMPLE / "flights").glob("*.py")))
    code = re.sub(r'^ +""".*?"""\n', "", "\n".join(modules), flags=re.M | re.S)
    snippets = re.findall(r"^```python\n(.*?)^```$", readme, re.M | re.S)

    assert snippets
    for snippet in snippets:
        assert snippet in code
