"""What the charts of a run show: three of them, in all of which longer is better."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.comparison import OURS, Outcome, Row, rows_of
from docs.pictures import draw as pictures

__all__ = ["SOURCE", "Chart", "Line", "charts_of", "draw"]

SOURCE = Path(__file__).with_name("chart.typ")

_ORIGINAL = "original"
_LIBRARIES = "message-db-py", "eventsourcing", "faststream-outbox", "pgqueuer", "procrastinate"
_POLLING = "polling every 100 ms"

_TITLES = {
    "benchmark.sh, writes": "Write a message, in the server",
    "benchmark.sh, reads": "Read a message, in the server",
    "16 transactions at once": "16 concurrent application transactions",
    "16 writers, one category": "16 concurrent writers, one category",
    "64 writers, one category": "64 concurrent writers, one category",
    "batches of 1,000": "Write batches of 1,000",
    "category read, decoded": "Read batches of 1,000",
    "read by member 0 of 4": "Read as a group member, in the server",
    "category read, no filter": "Read a category, in the server",
    "category read, correlation, few match": "Read by correlation, few match",
    "category read, correlation, none match": "Read by correlation, none match",
    "category read, group member 0 of 4": "Read as a group member, first calls",
    "category read, correlation, all match": "Read by correlation, all match",
    "category read, condition, few match": "Read by SQL condition, few match",
    "category read, condition, all match": "Read by SQL condition, all match",
    "category read, several filters": "Read with several filters",
    "category read, two categories": "Read two categories",
    "category read, from behind the last message": "Read where nothing is",
    "one write, in a session": "Write a message in a new session",
    "16 writers, by the packages": "16 concurrent writers",
    "entity of 1,000 events": "Load an entity of 1,000 events",
    "event to JSON and back": "Convert an event to JSON and back",
    "commands on 1 entity": "Commands on one entity",
    "commands on 1 entity, snapshots": "Commands on one entity, snapshots",
    "commands on 1 entity, cache": "Commands on one entity, cache",
    "commands on 1 entity, snapshots and cache": "Commands on one entity, both",
    "commands on 1,000 entities": "Commands on 1,000 entities",
    "commands on 1,000 entities, snapshots": "Commands on 1,000 entities, snapshots",
    "commands on 1,000 entities, cache": "Commands on 1,000 entities, cache",
    "commands on 1,000 entities, snapshots and cache": "Commands on 1,000 entities, both",
    "decision across streams": "Decision across streams",
    "async consumer, one message per transaction": "Handle messages one by one",
    "async consumer, 100 messages per transaction": "Handle 100 messages per transaction",
    "relay to JetStream": "Relay to NATS JetStream",
    "relay to RabbitMQ": "Relay to RabbitMQ",
    "commit to handler, median": "Median",
    "commit to handler, 99 of 100": "99th percentile",
}
"""What a reader is shown for the name of a comparison; the name itself if it is not here."""


@dataclass(frozen=True)
class Line:
    """A bar of a chart.

    Attributes:
        group: the heading that it stands under; empty if the chart has none.
        title: what was done.
        length: of the bar.
        value: what stands at its end.
        note: the figures that the length is made of.
        is_faster: whether mdb_sqla is the faster side; None for the bar it is compared with.
    """

    group: str
    title: str
    length: float
    value: str
    note: str
    is_faster: bool | None


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        name: of its files.
        heading: what a length is.
        baseline: what a length of 1 stands for; empty if a length is no ratio.
        lines: from the top.
    """

    name: str
    heading: str
    baseline: str
    lines: Sequence[Line]

    def inputs(self, theme: str) -> Mapping[str, str]:
        """What `chart.typ` is passed."""
        return {"theme": theme, "chart": json.dumps(asdict(self))}

    @property
    def description(self) -> str:
        """What it shows, in words."""
        lines = (
            f"{f'{line.group}, ' if line.group else ''}{line.title}: {line.value}"
            for line in self.lines
        )
        return f"Bar chart. {self.heading}. {'; '.join(lines)}"


def charts_of(outcomes: Sequence[Outcome]) -> list[Chart]:
    """Return the charts of a run; a chart without anything to show is left out."""
    rows = rows_of(outcomes)
    original = [_ratio(row) for row in rows if row.against == _ORIGINAL]
    libraries = [
        _ratio(row, group=library)
        for library in _LIBRARIES
        for row in rows
        if row.against == library
    ]
    charts = [
        Chart("message-db", "Speed relative to Message DB", "Message DB", original),
        Chart("libraries", "Speed relative to other libraries", "the other library", libraries),
        Chart("latency", "Commit to handler: 1 second ÷ latency", "", [*_latencies(outcomes)]),
    ]
    return [chart for chart in charts if chart.lines]


def draw(folder: Path, charts: Sequence[Chart]) -> None:
    """Draw each chart for light and for dark pages."""
    for chart in charts:
        for theme in pictures.THEMES:
            file = folder / f"{chart.name}-{theme}.svg"
            pictures.draw(SOURCE, file, chart.inputs(theme))


def _ratio(row: Row, group: str = "") -> Line:
    return Line(
        group,
        _TITLES.get(row.what, row.what),
        row.ratio,
        f"{row.ratio:.1f}×" if row.ratio >= 1.95 else f"{row.ratio:.2f}×",
        f"{row.ours:,.0f} vs {row.theirs:,.0f} {row.unit}",
        row.ratio >= 1,
    )


def _latencies(outcomes: Sequence[Outcome]) -> Iterator[Line]:
    measured = [outcome for outcome in outcomes if _POLLING in outcome.measured]
    for side, group in ((OURS, "Woken by the commit"), (_POLLING, "Polling every 100 ms")):
        for outcome in measured:
            if side in outcome.measured:
                rate = outcome.median(side)
                yield Line(
                    group,
                    _TITLES.get(outcome.what, outcome.what),
                    rate,
                    f"{1000 / rate:.2g} ms",
                    f"{rate:,.0f} per second",
                    True if side == OURS else None,
                )
