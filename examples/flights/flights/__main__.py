"""The command: `python -m flights`."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from time import monotonic
from typing import Annotated, NoReturn

import typer
from alembic.util import CommandError
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from sqlalchemy import Engine
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from flights import report
from flights.airports import airports
from flights.background import consuming, wait_until_consumed
from flights.charged import charged
from flights.consumed import Consumed
from flights.data import NoFlights, read_flights
from flights.database import connected, upgrade
from flights.fleet import fleet, inspections
from flights.load import load, remaining
from flights.maintenance import hangar
from flights.models import rows
from flights.relaying import NoBroker, nats_server, relay_departures
from flights.replay import Replay, totals
from mdb_sqla import Consumer, MessageStoreError, WrongExpectedVersion
from mdb_sqla.embedded import EmbeddedPostgresError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
output = Console(highlight=False)

_HANGARS = 4


def _count(value: object) -> int:
    text = str(value)  # the default comes as a number
    if text == "all":
        return 0
    if not text.isdecimal():
        raise typer.BadParameter("it must be a number, or all")
    return int(text)


@app.command()
def main(
    url: Annotated[
        str | None,
        typer.Option(
            envvar="FLIGHTS_DATABASE_URL",
            help="The database. Without one a server is started, and removed at the end.",
            show_default=False,
        ),
    ] = None,
    flights: Annotated[
        int, typer.Option(parser=_count, metavar="N|all", help="How many flights to load.")
    ] = 5000,
    writers: Annotated[int, typer.Option(min=1, help="How many transactions at a time.")] = 4,
    nats: Annotated[
        str | None,
        typer.Option(
            envvar="FLIGHTS_NATS_URL",
            help="The NATS server, with JetStream, that departures are relayed to. Without one, "
            "nats-server is started if the database is for this run only.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Load real flights, one transaction each over rows and messages, and have them consumed.

    Departures are relayed to a broker, where somebody else charges for them.

    Then everything is read back, and compared.

    Run again, it goes on where it was stopped, or with the flights that come next.
    """
    consumers = [airports, fleet, *(hangar() for _ in range(_HANGARS)), inspections]
    connections = max(writers, len(consumers))
    try:
        with ExitStack() as stack:
            with output.status("Connecting" if url else "Starting PostgreSQL"):
                engine = stack.enter_context(connected(url, connections))
                upgrade(engine)
            version = ".".join(map(str, engine.dialect.server_version_info or ()))
            place = f"database {engine.url.database}" if url else "a server for this run only"
            output.print(f"PostgreSQL {version}, {place}", markup=False)
            _load(engine, flights or None, writers)
            _consume(engine, consumers)
            relayed = _relay(engine, _broker(stack, url, nats))
            same = _read_back(engine, relayed)
    except KeyboardInterrupt:
        again = " Run again, and it goes on from there." if url else ""
        _end(f"Stopped: each flight is recorded as a whole or not at all.{again}", 130)
    except (WrongExpectedVersion, IntegrityError) as error:
        _end(f"Another run seems to record the same flights; none is recorded twice.\n{error}", 1)
    except OperationalError as error:
        _end(f"The database can't be used: {error.orig}", 1)
    except ArgumentError as error:
        _end(f"The URL can't be used: {error}", 1)
    except NoBroker as error:
        _end(f"Nothing can be relayed: {error}.", 1)
    except (NoFlights, EmbeddedPostgresError, MessageStoreError, CommandError) as error:
        _end(str(error), 1)
    if not same:
        raise typer.Exit(1)


def _load(engine: Engine, count: int | None, writers: int) -> None:
    with output.status("Reading the flights"):
        flights = read_flights(count)
        with Session(engine) as session:
            left = list(remaining(session, flights))
    begin, end = (
        f"{flight.scheduled:%B} {flight.scheduled.day}" for flight in (flights[0], flights[-1])
    )
    output.print(f"{len(flights):,} flights left New York from {begin} to {end}, 2013, or were to.")
    if len(left) < len(flights):
        output.print(f"{len(flights) - len(left):,} of them were recorded before.")
    if not left:
        return
    began = monotonic()
    with _progress() as progress:
        task = progress.add_task("Recording flights", total=len(left))
        load(engine, left, writers, lambda: progress.advance(task))
    rate = len(left) / (monotonic() - began)
    output.print(f"Each was one transaction over its rows and messages: {rate:,.0f} a second.")


def _consume(engine: Engine, consumers: list[Consumer]) -> None:
    began = monotonic()
    with output.status("Consuming"), consuming(engine, consumers) as running:
        wait_until_consumed(engine, running)
    output.print(
        f"Consumers were through with what there was in {monotonic() - began:.1f} seconds."
    )


def _broker(stack: ExitStack, url: str | None, nats: str | None) -> str | None:
    if nats is not None:
        return nats
    if url is not None:
        # A relay remembers how far it is: its broker must remember, too.
        output.print("Nothing is relayed: with a database that stays, say --nats.")
        return None
    try:
        return stack.enter_context(nats_server())
    except NoBroker as error:
        output.print(f"Nothing is relayed: {error}.")
        return None


def _relay(engine: Engine, nats: str | None) -> bool:
    """Relay departures and receive what is charged for them; returns whether there was a broker."""
    if nats is None:
        return False
    began = monotonic()
    with _progress() as progress:
        task = progress.add_task("Relaying departures", total=0)
        all_came = asyncio.run(
            relay_departures(
                engine.url,
                nats,
                lambda charged, due: progress.update(task, completed=charged, total=due),
            )
        )
    if not all_came:
        _end("Not every departure is charged for, and nothing has come for half a minute.", 1)
    output.print(
        "Departures went to NATS, and what is charged for them came back, in "
        f"{monotonic() - began:.1f} seconds."
    )
    return True


def _read_back(engine: Engine, relayed: bool) -> bool:
    replay = Replay()
    with Session(engine) as session:
        with _progress() as progress:
            messages = sum(row.version + 1 for row in rows(session).values())
            task = progress.add_task("Reading messages", total=messages)
            replay.run(session, lambda: progress.advance(task))
        consumed = Consumed(session)
        sums = totals(session) + consumed.totals() + (charged(session) if relayed else [])
        differing = replay.differing(session) + consumed.differing()
        output.print(report.by_type(session))
        output.print(report.by_hour(replay))
        output.print(report.latest_aircraft(session))
        output.print(report.history(session))
        output.print(report.airports(session))
        output.print(report.hangars(session))
        output.print(report.comparison(sums))
    if differing or any(total.messages != total.tables for total in sums):
        names = ", ".join(differing[:5])
        output.print(f"\n[red]✗[/] The tables and the messages tell different stories: {names}.")
        return False
    output.print(
        f"\n[green]✓[/] Rebuilt from the messages alone, all {len(replay.rows):,} rows "
        "of the tables come out the same."
    )
    output.print(
        "[green]✓[/] Nothing was lost by the consumers, and nothing done twice: "
        f"{len(consumed.airports.made):,} airports, {len(consumed.aircraft.made):,} aircraft."
    )
    if relayed:
        output.print("[green]✓[/] Every departure was charged for by way of the broker, and once.")
    return True


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=output,
    )


def _end(message: str, code: int) -> NoReturn:
    output.print(message, markup=False)
    raise typer.Exit(code)


if __name__ == "__main__":
    app(prog_name="python -m flights")
