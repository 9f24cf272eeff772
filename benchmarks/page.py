"""The pages about benchmarks, each of which has a part that a run renews."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from benchmarks import table
from benchmarks.charts import Chart, charts_of
from benchmarks.comparison import Outcome
from benchmarks.results import Document

__all__ = ["PAGE", "README", "update", "with_results", "with_targets"]

README = Path(__file__).with_name("README.md")
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

_PART = re.compile(r"(?<=<!-- results -->\n).*(?=<!-- end of results -->)", re.DOTALL)

_HEADINGS = {
    "message-db": "Compared with Message DB",
    "libraries": "Compared with other Python libraries",
    "latency": "From commit to handler",
}
_EXPLAINED = {
    "message-db": (
        "Message DB is installed from its npm package, in a separate database on the same server."
    ),
    "libraries": (
        "message-db-py is a client for Message DB. eventsourcing stores events in its own table; "
        "it has no categories, so it reads the notifications of all events. faststream-outbox "
        "publishes the rows of an outbox table. pgqueuer and procrastinate are job queues: their "
        "jobs are compared with the messages of an async consumer that has the same handler."
    ),
    "latency": (
        "An idle consumer waits for a message that another process commits. The latency is the "
        "time from the return of `commit()` to the call of the handler. A bar shows how many times "
        "that latency fits into one second, so a longer bar means a lower latency."
    ),
}


def update(document: Document, outcomes: Sequence[Outcome]) -> None:
    """Renew both pages."""
    for page, text in (
        (PAGE, with_results(PAGE.read_text("utf-8"), document, outcomes)),
        (README, with_targets(README.read_text("utf-8"), outcomes)),
    ):
        page.write_text(text, encoding="utf-8")


def with_results(page: str, document: Document, outcomes: Sequence[Outcome]) -> str:
    """Return the users' page with the charts of a run."""
    parts = ["## Results", *_measured(document), *map(_section, charts_of(outcomes))]
    return _replaced(page, "\n\n".join([*parts, "### Versions and settings", *_versions(document)]))


def with_targets(page: str, outcomes: Sequence[Outcome]) -> str:
    """Return the contributors' page with every row of a run."""
    return _replaced(page, table.markdown(outcomes))


def _replaced(page: str, part: str) -> str:
    return _PART.sub(lambda _: f"\n{part}\n\n", page)


def _measured(document: Document) -> list[str]:
    commit = f" (commit {document['commit']})" if "commit" in document else ""
    measured = (
        f"Measured on {document['date']} with mdb_sqla {document['versions']['mdb_sqla']}{commit}. "
        f"The bars show medians of {document['rounds']} rounds; "
        "[results.json](benchmarks/results.json) has every round."
    )
    return [_wrapped(paragraph) for paragraph in (measured, *document.get("notes", []))]


def _versions(document: Document) -> list[str]:
    versions = {**document["versions"]}
    del versions["mdb_sqla"]
    versions["Message DB"] = f"`{versions.pop('original')}`"
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    settings = ", ".join(f"`{name} = {value}`" for name, value in document["settings"].items())
    paragraphs = (
        f"The machine is {document['machine']} with {document['cores']} cores. Versions: {listed}.",
        f"PostgreSQL runs with {settings}, and its defaults for everything else.",
    )
    return [_wrapped(paragraph) for paragraph in paragraphs]


def _section(chart: Chart) -> str:
    picture = f"![{chart.description}](benchmarks/{chart.name}-light.svg)"
    parts = (f"### {_HEADINGS[chart.name]}", _wrapped(_EXPLAINED[chart.name]), _wrapped(picture))
    return "\n\n".join(parts)


def _wrapped(text: str) -> str:
    return "\n".join(wrap(text, 120, break_long_words=False, break_on_hyphens=False))
