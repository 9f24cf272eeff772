"""Every action has its effect in the database, and is recorded with the name of the user."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from playwright.sync_api import Page
from sqlalchemy import URL, Engine, NullPool, create_engine

from mdb_sqla import admin
from mdb_sqla.admin import ConsumerOverview, DeadLetter
from tests.web.conftest import Open, Serve


class Store:
    """The store, as the Python API shows it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def consumer(self, name: str) -> ConsumerOverview:
        with self.engine.connect() as connection:
            return next(each for each in admin.consumers(connection) if each.name == name)

    def letters(self) -> list[DeadLetter]:
        with self.engine.connect() as connection:
            return admin.dead_letters(connection, "charges")

    def failed(self) -> list[DeadLetter]:
        return [each for each in self.letters() if each.failed]

    def recorded(self) -> list[tuple[str, str | None, str, dict[str, Any]]]:
        """What users of the page have done, latest first."""
        with self.engine.connect() as connection:
            return [
                (each.kind, each.subject, each.performed_by, each.details)
                for each in admin.operations(connection)
                if each.performed_by == "Ada"
            ]


@pytest.fixture
def store(flights_copy: URL) -> Store:
    return Store(create_engine(flights_copy, poolclass=NullPool))


@pytest.fixture
def site(store: Store, served: Serve) -> str:
    return served(store.engine, authorize=lambda request: "Ada")


def notice(page: Page) -> str:
    return page.inner_text(".notice")


def test_pause_resume_and_reset(open_page: Open, site: str, store: Store) -> None:
    visitor = open_page(f"{site}/consumer?name=charges")
    page = visitor.page

    page.click("button:text('Pause')")
    assert notice(page) == "The consumer is paused."
    assert store.consumer("charges").paused_by == "Ada"
    assert "State paused" in visitor.text
    assert "It is paused, by Ada." in visitor.text

    page.click("button:text('Resume')")
    assert notice(page) == "The consumer is resumed."
    assert store.consumer("charges").paused_at is None

    page.click("text=Reset the position…")
    page.fill("input[name=start]", "0,500")
    page.click("button:text-is('Reset')")
    assert notice(page) == "The position was reset."
    assert [slot.position for slot in store.consumer("charges").slots] == [499]
    page.click("text=Reset the position…")
    page.click("button:text-is('Reset')")
    assert [slot.position for slot in store.consumer("charges").slots] == [0]
    assert "behind" in visitor.text
    assert store.recorded() == [
        ("reset_consumer", "charges", "Ada", {"start": 1}),
        ("reset_consumer", "charges", "Ada", {"start": 500}),
        ("resume_consumer", "charges", "Ada", {}),
        ("pause_consumer", "charges", "Ada", {}),
    ]
    assert visitor.rows(1)[0][1:3] == ["reset_consumer", "Ada"]


def test_replay_and_skip_one(open_page: Open, site: str, store: Store) -> None:
    before = store.failed()
    visitor = open_page(f"{site}/dead-letters")
    page = visitor.page
    errors = Counter(str(each.error) for each in before)
    error = errors.most_common(1)[0][0]
    of_kind = [each for each in before if each.error == error]
    page.click(f"text={error}")

    page.locator("button:text('Replay the stream')").first.click()
    assert notice(page) == "The messages will be handled again."
    replayed = of_kind[0]
    assert replayed.global_position not in [each.global_position for each in store.failed()]
    assert replayed.global_position in [each.global_position for each in store.letters()]

    page.click(f"text={error}")
    page.locator("summary", has_text="Skip…").first.click()
    page.locator("button:text('Skip this message')").first.click()
    assert notice(page) == "The messages were skipped."
    skipped = of_kind[1]
    assert skipped.global_position not in [each.global_position for each in store.letters()]
    assert len(store.failed()) == len(before) - 2
    assert [(kind, details["stream_name"]) for kind, _, _, details in store.recorded()] == [
        ("skip", skipped.stream_name),
        ("replay", replayed.stream_name),
    ]


def test_replay_and_skip_all_of_a_kind(open_page: Open, site: str, store: Store) -> None:
    visitor = open_page(f"{site}/dead-letters")
    page = visitor.page
    number = len(visitor.rows())
    page.click("text=No charge for a cancelled flight")
    cancelled = [each.global_position for each in store.failed() if each.type == "Cancelled"]
    page.click("button:text('Replay all of this kind')")
    assert notice(page) == "The messages will be handled again."
    assert "Cancelled" not in {each.type for each in store.failed()}
    assert len(visitor.rows()) == number - 1

    kind = visitor.rows()[0]
    of_kind = [each for each in store.failed() if (each.error or "").startswith(kind[2])]
    assert len(of_kind) == int(kind[3])
    page.locator("main td a code").first.click()
    page.click("text=Skip all of this kind…")
    page.click("button:text-is('Skip all')")
    assert notice(page) == "The messages were skipped."
    assert not {each.global_position for each in of_kind} & {
        each.global_position for each in store.letters()
    }
    assert len(visitor.rows()) == number - 2
    (skipped, replayed) = store.recorded()
    assert (skipped[0], skipped[1], skipped[2]) == ("skip", "charges", "Ada")
    assert skipped[3] == {
        "type": kind[1],
        "error": kind[2],
        "global_positions": [each.global_position for each in of_kind],
    }
    assert (replayed[0], replayed[3]["type"]) == ("replay", "Cancelled")
    assert replayed[3]["global_positions"] == cancelled


def test_an_action_that_fails_shows_why(open_page: Open, site: str, store: Store) -> None:
    visitor = open_page(f"{site}/consumer?name=charges")
    with store.engine.begin() as connection:
        admin.delete_consumer(connection, "charges")
    visitor.page.click("button:text('Pause')")
    assert "There is no consumer 'charges'" in visitor.page.inner_text("[role=alert]")
    visitor.allow("400")


def test_the_page_of_a_form_is_not_sent_twice(open_page: Open, site: str) -> None:
    """After an action, a reload does not repeat it, and polling drops its notice."""
    visitor = open_page(f"{site}/consumer?name=charges")
    visitor.page.click("button:text('Pause')")
    assert "notice=paused" in visitor.page.url
    live = visitor.page.get_attribute("#live", "hx-get")
    assert live == "/consumer?name=charges"
    visitor.page.reload()
    assert "State paused" in visitor.text
