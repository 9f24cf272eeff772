"""The command: `python -m flights`."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from time import monotonic
from typing import Annotated, NoReturn

import typer
from alembic.util import CommandError
from rich.console import Console
from sqlalchemy import Engine
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from flights import report
from flights.charges import charges
from flights.checkpoint import Checkpoint
from flights.consumer_results import ConsumerResults
from flights.consumption import PATIENCE, ConsumersFailed, consume, has_caught_up
from flights.data import NoFlights, read_flights
from flights.database import connected, upgrade
from flights.departure_relay import NoBroker, nats_server, relay_departures
from flights.load import load, remaining
from flights.models import rows
from flights.progress import progress_bar
from flights.replay import Replay, totals
from mdb_sqla import MessageStoreError, WrongExpectedVersion
from mdb_sqla.embedded import EmbeddedPostgresError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
output = Console(highlight=False)


def _count(value: object) -> int:
    text = str(value)  # the default is a number
    if text == "all":
        return 0
    if not text.isdecimal():
        raise typer.BadParameter("must be a number, or all")
    return int(text)


@app.command()
def main(
    url: Annotated[
        str | None,
        typer.Option(
            envvar="FLIGHTS_DATABASE_URL",
            help="Database URL; without it, a temporary server is started.",
            show_default=False,
        ),
    ] = None,
    flights: Annotated[
        int, typer.Option(parser=_count, metavar="N|all", help="Number of flights to record.")
    ] = 5000,
    writers: Annotated[int, typer.Option(min=1, help="Number of concurrent writers.")] = 4,
    nats: Annotated[
        str | None,
        typer.Option(
            envvar="FLIGHTS_NATS_URL",
            help="URL of a NATS server with JetStream; without it and without a database URL, "
            "a temporary nats-server is started if it is installed.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Record real flights, handle their events, and check that nothing is lost or repeated.

    Each flight is one transaction over tables and messages. Consumers handle
    the messages; their process is killed halfway, and others take over. A relay
    publishes departures to a broker, and an inbox receives the charges.

    Run it again to resume after an interruption, or to add more flights.
    """
    try:
        with ExitStack() as stack:
            with output.status("Connecting" if url else "Starting PostgreSQL"):
                engine = stack.enter_context(connected(url, writers))
                upgrade(engine)
            version = ".".join(map(str, engine.dialect.server_version_info or ()))
            place = f"database {engine.url.database}" if url else "a temporary server"
            output.print(f"PostgreSQL {version}, {place}", markup=False)
            _load(engine, flights or None, writers)
            _consume(engine)
            relayed = _relay(engine, _broker(stack, url, nats))
            same = _read_back(engine, relayed)
    except KeyboardInterrupt:
        again = " Run the command again to resume." if url else ""
        _end(f"Interrupted. Each flight is recorded completely or not at all.{again}", 130)
    except (WrongExpectedVersion, IntegrityError) as error:
        _end(f"Another run is recording the same flights. None is recorded twice.\n{error}", 1)
    except OperationalError as error:
        _end(f"Database error: {error.orig}", 1)
    except ArgumentError as error:
        _end(f"Invalid database URL: {error}.", 1)
    except NoBroker as error:
        _end(f"Departures can't be relayed: {error}.", 1)
    except (
        CommandError,
        ConsumersFailed,
        EmbeddedPostgresError,
        MessageStoreError,
        NoFlights,
    ) as error:
        _end(str(error), 1)
    if not same:
        raise typer.Exit(1)


def _load(engine: Engine, count: int | None, writers: int) -> None:
    with output.status("Reading flights"):
        flights = read_flights(count)
        with Session(engine) as session:
            left = list(remaining(session, flights))
    first, last = (
        f"{flight.scheduled:%B} {flight.scheduled.day}" for flight in (flights[0], flights[-1])
    )
    output.print(f"{len(flights):,} flights from New York, from {first} to {last}, 2013")
    if len(left) < len(flights):
        output.print(f"{len(flights) - len(left):,} of them are already recorded.")
    if not left:
        return
    began = monotonic()
    with progress_bar(output) as progress:
        task = progress.add_task("Recording flights", total=len(left))
        load(engine, left, writers, lambda: progress.advance(task))
    rate = len(left) / (monotonic() - began)
    output.print(f"One transaction for the rows and messages of each flight: {rate:,.0f}/s")


def _consume(engine: Engine) -> None:
    if has_caught_up(engine):
        output.print("The consumers have already handled all messages.")
        return

    def show(event: str, checkpoint: Checkpoint | None = None) -> None:
        output.print(report.consumption_event(event, checkpoint))

    output.print(report.consumption())
    began = monotonic()
    with output.status("Consuming messages"):
        all_handled = consume(engine, show)
    if all_handled:
        output.print(f"\nConsumers caught up in {monotonic() - began:.1f} s.")
    else:
        output.print(f"\nConsumers have made no progress for {PATIENCE:.0f} s.")


def _broker(stack: ExitStack, url: str | None, nats: str | None) -> str | None:
    if nats is not None:
        return nats
    if url is not None:
        # The relay's position is permanent, and so must be its broker.
        output.print("Departures are not relayed: a database of your own also needs --nats.")
        return None
    try:
        return stack.enter_context(nats_server())
    except NoBroker as error:
        output.print(f"Departures are not relayed: {error}.")
        return None


def _relay(engine: Engine, nats: str | None) -> bool:
    """Relay departures, and receive their charges; return whether there was a broker."""
    if nats is None:
        return False
    began = monotonic()
    with progress_bar(output) as progress:
        task = progress.add_task("Relaying departures", total=0)
        all_arrived = asyncio.run(
            relay_departures(
                engine.url,
                nats,
                lambda charged, due: progress.update(task, completed=charged, total=due),
            )
        )
    if not all_arrived:
        _end("Not all departures are charged, and no charge has arrived for 30 s.", 1)
    output.print(f"Departures relayed and charges received in {monotonic() - began:.1f} s.")
    return True


def _read_back(engine: Engine, relayed: bool) -> bool:
    replay = Replay()
    with Session(engine) as session:
        with progress_bar(output) as progress:
            messages = sum(row.version + 1 for row in rows(session).values())
            task = progress.add_task("Reading messages", total=messages)
            replay.run(session, lambda: progress.advance(task))
        results = ConsumerResults.read(session)
        sums = totals(session) + results.totals() + (charges(session) if relayed else [])
        differing = replay.differing(session) + results.differing()
        output.print(report.by_type(session))
        output.print(report.by_hour(replay))
        output.print(report.latest_aircraft(session))
        output.print(report.history(session))
        output.print(report.airports(session))
        output.print(report.hangars(session))
        output.print(report.comparison(sums))
    differing += [total.name for total in sums if total.messages != total.tables]
    if differing:
        names = ", ".join(differing[:5])
        output.print(f"\n[red]✗[/] The tables differ from the messages: {names}.")
        return False
    output.print(f"\n[green]✓[/] All {len(replay.rows):,} rows equal those rebuilt from messages.")
    output.print(
        "[green]✓[/] The consumers lost nothing and repeated nothing: "
        f"{len(results.airports.actual):,} airports, {len(results.aircraft.actual):,} aircraft."
    )
    if relayed:
        output.print("[green]✓[/] Every departure was charged exactly once.")
    output.print(report.files())
    return True


def _end(message: str, code: int) -> NoReturn:
    output.print(message, markup=False)
    raise typer.Exit(code)


if __name__ == "__main__":
    app(prog_name="python -m flights")
