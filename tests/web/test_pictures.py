"""What somebody sees who has never seen the store; with MDB_PICTURES, pictures of it."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, func, select

from mdb_sqla import Message, MessageStore, functions, tables
from mdb_sqla.web import store_monitor
from mdb_sqla.web.store_monitor import Progress, StoreMonitor
from tests.web.conftest import Open, Serve
from tests.web.flight_store import AIRCRAFT
from tests.web.visitor import Visitor

DIRECTORY = os.environ.get("MDB_PICTURES")
m = tables.messages.c


@pytest.fixture
def engine(flights_copy: URL) -> Iterator[Engine]:
    """A store where an import is open, and a consumer waits for it."""
    engine = create_engine(
        flights_copy, poolclass=NullPool, connect_args={"application_name": "import of 2014"}
    )
    with engine.connect() as writer:
        MessageStore(writer).write("aircraft-N14228", Message("Departed", {"origin": "EWR"}))
        with engine.begin() as other:
            MessageStore(other).write("aircraft-N24211", Message("Departed", {"origin": "LGA"}))
        writer.execute(select(func.pg_sleep(1.1)))
        yield engine


@pytest.fixture
def site(engine: Engine, served: Serve, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(store_monitor, "_INTERVAL", 0.5)
    monkeypatch.setattr(StoreMonitor, "_add", with_history(engine, StoreMonitor._add))
    return served(engine, authorize=lambda request: "Ada", title="flights")


def with_history(engine: Engine, add: Any) -> Any:
    """Let the history begin as if the page had been open while the messages were written."""
    now = time.monotonic()
    with engine.connect() as connection:
        position = connection.scalar(
            select(func.min(tables.consumer_slots.c.position)).where(
                tables.consumer_slots.c.consumer == "punctuality"
            )
        )
        ages = connection.execute(
            select(
                func.extract("epoch", func.timezone("utc", func.now()) - m.time),
                m.global_position - position,
            ).order_by(m.global_position)
        ).all()
    points = [Progress(now - float(age), max(lag, 0), 0, position) for age, lag in ages]

    def add_after_history(monitor: Any, *arguments: Any) -> None:
        monitor._history.setdefault("punctuality", deque(points))
        add(monitor, *arguments)

    return add_after_history


def take(visitor: Visitor, name: str, scheme: str, height: int = 720) -> None:
    if DIRECTORY:
        visitor.page.set_viewport_size({"width": 1080, "height": height})
        visitor.page.evaluate("document.activeElement?.blur()")
        path = Path(DIRECTORY) / f"web-{name}-{scheme}.png"
        visitor.page.screenshot(path=path)
        assert path.stat().st_size < 150_000


@pytest.mark.parametrize("scheme", ["light", "dark"] if DIRECTORY else ["light"])
def test_questions_are_answered(open_page: Open, site: str, engine: Engine, scheme: Any) -> None:
    visitor = open_page(site, color_scheme=scheme)
    page = visitor.page
    # Which consumer is behind, and why?
    page.wait_for_timeout(1_500)  # until the charts have two points
    visitor.visit(site)
    assert [row[0] for row in visitor.rows(1) if row[1] == "behind"] == ["charges", "punctuality"]
    take(visitor, "overview", scheme, 860)
    page.click("a:text-is('punctuality')")
    assert page.inner_text("h1") == "Consumer punctuality"
    assert "by pid " in visitor.text
    assert 'application "import of 2014"' in visitor.text
    assert "It continues when this transaction ends." in visitor.text

    # What happened to aircraft N942MQ?
    page.fill("#search", f"aircraft-{AIRCRAFT}")
    page.press("#search", "Enter")
    page.wait_for_selector(f"h1:text-is('Stream aircraft-{AIRCRAFT}')")
    assert {row[2] for row in visitor.rows()} == {"Departed", "Arrived"}
    assert '"delay": 853' in visitor.text

    # What caused this message, and what did it cause?
    with engine.connect() as connection:
        command = connection.scalar(
            select(func.min(m.global_position)).where(
                m.type == "Inspect", functions.id(m.stream_name) == AIRCRAFT
            )
        )
    visitor.visit(f"{site}/message?at={command}")
    steps = page.locator("#story .step").all_inner_texts()
    assert [step.split()[1] for step in steps] == ["Arrived", "Inspect", "Inspected"]
    take(visitor, "message", scheme, 760)

    # What failed, and how is it retried?
    page.click("header nav a:text-is('Dead letters')")
    page.wait_for_selector("h1:text-is('Dead letters')")
    page.click("tr:has-text('MSP') td code")
    page.wait_for_selector("h1:text-is('Dead letters of charges')")
    assert page.locator("button:text('Replay all of this kind')").is_visible()
    take(visitor, "dead-letters", scheme, 760)
    page.locator("summary", has_text="Error and traceback").first.click()
    assert "KeyError: 'MSP'" in page.locator("article pre").first.inner_text()
    visitor.visit(f"{site}/map")
    take(visitor, "map", scheme, 560)
