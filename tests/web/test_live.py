"""Pages are updated while they are open, without disturbing the reader."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import URL, Engine, NullPool, create_engine

from mdb_sqla import Message, MessageStore
from mdb_sqla.web import store_monitor
from tests.web.conftest import Open, Serve

CONTROL = "#live-control"


@pytest.fixture
def engine(flights_copy: URL, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(store_monitor, "_INTERVAL", 0.3)
    return create_engine(flights_copy, poolclass=NullPool)


@pytest.fixture
def site(engine: Engine, served: Serve) -> str:
    return served(engine)


def write(engine: Engine, stream: str = "aircraft-N1", **data: Any) -> int:
    with engine.begin() as connection:
        store = MessageStore(connection)
        store.write(stream, Message("Painted", data))
        return store.last_message(stream).global_position  # type: ignore[union-attr]


def requests_of(page: Page) -> list[str]:
    """The addresses that the page polls, as it does so."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url))
    return found


def test_a_new_message_appears_on_top(open_page: Open, site: str, engine: Engine) -> None:
    page = open_page(f"{site}/messages").page
    page.evaluate("window.loaded = true")
    position = write(engine, color="red")

    expect(page.locator("tbody tr").first).to_have_id(f"m{position}")
    assert page.locator("tbody tr").count() == 50
    assert page.evaluate("window.loaded")


def test_the_overview_follows(open_page: Open, site: str, engine: Engine) -> None:
    visitor = open_page(site)
    lag = int(visitor.rows()[4][2])
    write(engine)
    expect(visitor.page.locator("tr", has_text="punctuality").locator("td").nth(2)).to_have_text(
        str(lag + 1)
    )


def test_the_control_pauses(open_page: Open, site: str, engine: Engine) -> None:
    page = open_page(f"{site}/messages").page
    polled = requests_of(page)
    page.wait_for_event("request")
    page.click(CONTROL)
    expect(page.locator(CONTROL)).to_have_text("Paused")
    expect(page.locator(CONTROL)).to_have_attribute("aria-pressed", "false")
    polled.clear()
    position = write(engine)
    page.wait_for_timeout(3_500)  # longer than the interval of polling
    assert polled == []
    page.click(CONTROL)
    expect(page.locator("tbody tr").first).to_have_id(f"m{position}")


def test_a_hidden_tab_does_not_poll(open_page: Open, site: str) -> None:
    page = open_page(f"{site}/messages").page
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})"
    )
    polled = requests_of(page)
    page.wait_for_timeout(3_500)
    assert polled == []
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => false})"
    )
    page.wait_for_event("request")


def test_details_stay_open(open_page: Open, site: str, engine: Engine) -> None:
    page = open_page(f"{site}/map").page
    page.click("text=As a table")
    write(engine, "hangar-1")
    expect(page.locator("svg.map a", has_text="hangar")).to_be_visible()
    expect(page.locator("details")).to_have_attribute("open", "")


def test_the_focus_and_the_selection_stay(open_page: Open, site: str, engine: Engine) -> None:
    page = open_page(f"{site}/messages").page
    link = page.locator("a.row").nth(2)
    link.focus()
    name = link.inner_text()
    position = write(engine)
    expect(page.locator("tbody tr").first).to_have_id(f"m{position}")
    assert page.evaluate("document.activeElement.innerText") == name


def test_a_filter_that_is_being_entered_stays(open_page: Open, site: str, engine: Engine) -> None:
    page = open_page(f"{site}/messages").page
    page.fill("input[name=type]", "Arri")
    position = write(engine)
    expect(page.locator("tbody tr").first).to_have_id(f"m{position}")
    assert page.input_value("input[name=type]") == "Arri"


def test_filters_are_followed(open_page: Open, site: str, engine: Engine) -> None:
    page = open_page(f"{site}/messages?type=Painted").page
    expect(page.locator("main")).to_contain_text("No message matches.")
    position = write(engine)
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr").first).to_have_id(f"m{position}")


@pytest.mark.parametrize(
    "path", ["messages?order=oldest", "messages?beyond=300", "message?at=1", "search?q=N"]
)
def test_what_is_being_read_does_not_change(open_page: Open, site: str, path: str) -> None:
    page = open_page(f"{site}/{path}").page
    assert page.locator("[hx-get]").count() == 0
    assert page.locator(CONTROL).count() == 0


def test_pages_while_somebody_writes(open_page: Open, site: str, engine: Engine) -> None:
    """Every message that was there is on exactly one page."""
    with engine.connect() as connection:
        stored = [
            each.global_position for each in MessageStore(connection).iterate_category("aircraft")
        ]
    ended = threading.Event()

    def write_until_the_end() -> None:
        while not ended.wait(0.02):
            write(engine)

    writer = threading.Thread(target=write_until_the_end)
    writer.start()
    found: list[int] = []
    try:
        following: str | None = f"{site}/messages?category=aircraft"
        visitor = open_page(site)
        while following:
            visitor.visit(following)
            # At once: the first page is live.
            rows, following = visitor.page.evaluate(
                """() => [[...document.querySelectorAll("a.row")].map((a) => a.innerText),
                document.querySelector("a[rel=next]")?.href]"""
            )
            found += [int(row.replace(",", "")) for row in rows]
    finally:
        ended.set()
        writer.join()
    assert len(found) == len(set(found))
    assert found == sorted(found, reverse=True)
    assert set(stored) <= set(found)
    assert len(set(found) - set(stored)) <= 50
