"""The command: `python -m benchmarks`, or `make bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import charts, page, results, table
from benchmarks.batches import batches
from benchmarks.comparison import Experiment, Outcome
from benchmarks.concurrency import application_transactions, writers_16, writers_64
from benchmarks.consumers import consumer_in_batches, consumer_one_by_one
from benchmarks.decisions import decisions
from benchmarks.entities import commands, entity_conversion, entity_load
from benchmarks.filters import category_filters
from benchmarks.growth import growth
from benchmarks.job_queues import job_queues
from benchmarks.large_store import large_store
from benchmarks.outbox_rows import added_message
from benchmarks.privacy import encryption
from benchmarks.projections import projection_rebuild
from benchmarks.reads import category_reads
from benchmarks.relays import relay_to_jetstream, relay_to_rabbitmq
from benchmarks.retention import archiving, deletion, restoring, writes_beside_retention
from benchmarks.server import SETTINGS, Server
from benchmarks.server_functions import consumer_group, single_reads, writes
from benchmarks.single_writes import (
    writers_of_packages,
    writes_over_connection,
    writes_over_session,
)
from benchmarks.size import FULL, SMALL, Size
from benchmarks.telemetry import handled_with_spans, measuring_points, written_with_spans
from benchmarks.wake_up import cost_of_wake_up, wake_up_99th, wake_up_median
from tests.side_by_side.message_db import PACKAGES

EXPERIMENTS: Sequence[Experiment] = (
    writes,
    single_reads,
    application_transactions,
    writers_16,
    writers_64,
    batches,
    category_reads,
    consumer_group,
    *category_filters(),
    growth,
    *large_store(),
    writes_over_connection,
    writes_over_session,
    writers_of_packages,
    added_message,
    wake_up_median,
    wake_up_99th,
    cost_of_wake_up,
    consumer_one_by_one,
    consumer_in_batches,
    *job_queues(),
    projection_rebuild,
    relay_to_jetstream,
    relay_to_rabbitmq,
    deletion,
    writes_beside_retention,
    archiving,
    restoring,
    encryption,
    entity_load,
    entity_conversion,
    *commands(),
    decisions,
    *measuring_points(),
    written_with_spans,
    handled_with_spans,
)

ROUNDS = 7
DOCUMENTATION = Path(__file__).parents[1] / "docs" / "benchmarks"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
output = Console(highlight=False)


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds of each side.")] = ROUNDS,
    small: Annotated[bool, typer.Option("--small", help="Less of everything, for a try.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Where results.json and the charts go. Without one, a run at full size with as "
            "many rounds as by default goes into the documentation; others are only printed.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=f"One of {', '.join(item.__name__ for item in EXPERIMENTS)}; repeatable."
        ),
    ] = None,
) -> None:
    """Measure this store beside the original, PostgreSQL's own limits, and other packages."""
    size = SMALL if small else FULL
    chosen = [item for item in EXPERIMENTS if not only or item.__name__ in only]
    with TemporaryDirectory() as temporary, Server.running(Path(temporary, "original")) as server:
        outcomes = [_run(experiment, server, size, rounds) for experiment in chosen]
        document = results.document(
            outcomes,
            size,
            rounds,
            postgresql=server.version(),
            original=PACKAGES["1.3.0"],
            settings=SETTINGS,
        )
    output.print(table.of(outcomes))
    if folder is not None:
        _write(folder, document, outcomes)
    elif size is FULL and rounds == ROUNDS and not only:
        _write(DOCUMENTATION, document, outcomes)
        page.update(document, outcomes)


def _run(experiment: Experiment, server: Server, size: Size, rounds: int) -> Outcome:
    with output.status(experiment.__name__) as status, experiment(server, size) as comparison:
        return comparison.run(rounds, lambda side: status.update(f"{comparison.what}: {side}"))


def _write(folder: Path, document: results.Document, outcomes: Sequence[Outcome]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    results.write(folder / "results.json", document)
    charts.draw(folder, charts.charts_of(outcomes))


if __name__ == "__main__":
    app()
