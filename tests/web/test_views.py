"""Every view shows what the Python API returns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, func, select, text

from mdb_sqla import Message, MessageStore, admin, functions, tables
from mdb_sqla.retention import policies
from tests.web.conftest import Open, Serve
from tests.web.flight_store import AIRCRAFT

m = tables.messages.c


@pytest.fixture
def db(flights_engine: Engine) -> Iterator[Connection]:
    with flights_engine.connect() as connection:
        yield connection


def test_overview(open_page: Open, site: str, db: Connection) -> None:
    visitor = open_page(site)

    summary = admin.summary(db)
    overviews = admin.consumers(db)
    dead = sum(each.dead_letters for each in overviews)
    assert f"Messages {summary.messages:,} In the last minute" in visitor.text
    assert f"Dead letters {dead} " in visitor.text
    assert "Oldest open writer none Locks by stream Verified no problems, " in visitor.text
    assert [(row[0], row[2]) for row in visitor.rows(0)] == [
        (each.name, str(each.lag.messages if each.lag else "unknown")) for each in overviews
    ]
    states = {row[0]: row[1] for row in visitor.rows(0)}
    assert states == {
        "airports": "paused",
        "charges": "up to date",
        "fleet": "not running",
        "maintenance": "up to date",
        "punctuality": "behind",
    }
    largest = [
        [each.category, f"{each.messages:,}", f"{each.streams:,}"] for each in summary.largest
    ]
    assert visitor.rows(1) == largest
    by_minute = select(func.date_trunc("minute", m.time), func.count()).group_by(text("1"))
    highest = max(row[1] for row in db.execute(by_minute))
    assert f"at most {highest} a minute now" in visitor.text


def test_map(open_page: Open, site: str, db: Connection) -> None:
    visitor = open_page(f"{site}/map")

    boxes = visitor.page.locator("svg.map a")
    names = boxes.locator("text").all_text_contents()
    assert sorted(names) == sorted(
        ["aircraft", "airline", "maintenance", "maintenance:command"]
        + [each.name for each in admin.consumers(db)]
    )
    commands = db.scalar(
        select(func.count()).where(functions.category(m.stream_name) == "maintenance:command")
    )
    visitor.page.click("text=As a table")
    assert ["aircraft", "maintenance:command", str(commands)] in visitor.rows()
    assert ["maintenance:command", "maintenance", str(commands)] in visitor.rows()
    boxes.filter(has_text="punctuality").click()
    assert visitor.page.inner_text("h1") == "Consumer punctuality"


def test_stream(open_page: Open, site: str, db: Connection) -> None:
    name = f"aircraft-{AIRCRAFT}"
    visitor = open_page(f"{site}/messages?stream={name}&order=oldest")

    assert visitor.page.inner_text("h1") == f"Stream {name}"
    stored = MessageStore(db).read_stream(name)
    assert len(stored) > 3
    assert [row[:4] for row in visitor.rows()] == [
        [
            f"{each.global_position:,}",
            f"{each.time:%Y-%m-%d %H:%M:%S}",
            each.type,
            f"{each.position:,}",
        ]
        for each in stored
    ]
    visitor.page.click(f"text={stored[0].global_position}")
    assert visitor.page.inner_text("h1") == f"{stored[0].type} at {stored[0].global_position:,}"


def test_message_with_its_story(open_page: Open, site: str, db: Connection) -> None:
    position = db.scalar(
        select(func.max(m.global_position)).where(
            m.type == "Inspect", functions.id(m.stream_name) == AIRCRAFT
        )
    )
    (command,) = MessageStore(db).read_category("maintenance:command", position or 0, batch_size=1)
    arrival = command.metadata["causationMessageGlobalPosition"]
    (event,) = [
        each
        for each in MessageStore(db).read_stream(f"maintenance-{AIRCRAFT}")
        if each.metadata["causationMessageGlobalPosition"] == position
    ]
    visitor = open_page(f"{site}/message?at={position}")

    steps = visitor.page.locator("#story .step").all_inner_texts()
    assert [step.split(" in ")[0] for step in steps] == [
        f"{arrival:,} Arrived",
        f"{position:,} Inspect",
        f"{event.global_position:,} Inspected",
    ]
    assert str(command.id) in visitor.text
    assert command.metadata["correlationStreamName"] in visitor.text
    assert f'"arrivals": {command.data["arrivals"]}' in visitor.text
    visitor.page.locator("#story a", has_text=f"{event.global_position:,}").click()
    assert visitor.page.inner_text("h1") == f"Inspected at {event.global_position:,}"
    visitor.page.locator(f"#story a:text-is('{arrival:,}')").click()
    assert visitor.page.inner_text("h1") == f"Arrived at {arrival:,}"


def test_neighbors_in_the_stream(open_page: Open, site: str, db: Connection) -> None:
    first, second = MessageStore(db).read_stream(f"aircraft-{AIRCRAFT}")[:2]
    visitor = open_page(f"{site}/message?at={first.global_position}")

    visitor.page.click("text=next")
    assert visitor.page.inner_text("h1") == f"{second.type} at {second.global_position:,}"
    visitor.page.click("text=previous")
    assert visitor.page.inner_text("h1") == f"{first.type} at {first.global_position:,}"


def test_consumers(open_page: Open, site: str, db: Connection) -> None:
    visitor = open_page(f"{site}/consumers")

    rows = {row[0]: row for row in visitor.rows()}
    for each in admin.consumers(db):
        assert each.reads is not None
        assert each.lag is not None
        row = rows[each.name]
        assert row[2] == ", ".join(each.reads.categories)
        assert row[3] == f"{min(slot.position for slot in each.slots):,}"
        assert row[4] == f"{each.lag.messages:,}"
        assert row[8] == str(each.dead_letters)
    assert rows["maintenance"][7] == "1 of 2 alive, 4 slots"
    assert rows["fleet"][7] == "0 of 1 alive, 2 slots"


def test_consumer_that_is_behind(open_page: Open, site: str, db: Connection) -> None:
    visitor = open_page(f"{site}/consumer?name=punctuality")

    lag = admin.lag(db, "punctuality", "aircraft", "airline")
    assert f"State behind Lag {lag.messages:,} Behind by " in visitor.text
    assert "Reads aircraft, airline." in visitor.text
    assert visitor.rows()[0][:2] == ["0", f"{lag.position:,}"]


def test_consumer_group(open_page: Open, site: str, db: Connection) -> None:
    visitor = open_page(f"{site}/consumer?name=maintenance")

    (overview,) = [each for each in admin.consumers(db) if each.name == "maintenance"]
    assert [row[:3] for row in visitor.rows(0)] == [
        [str(slot.slot), f"{slot.position:,}", "hangar-a"] for slot in overview.slots
    ]
    assert visitor.rows(1) == [
        ["hangar-a", "alive", "0, 1, 2, 3"],
        ["hangar-b", "expired", ""],
    ]
    assert "It has handled all messages." in visitor.text


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("airports", "It is paused, by night shift. Resume it."),
        ("fleet", "No process runs it: the leases of all members of its group have expired."),
        ("charges", "of its messages are dead letters"),
    ],
)
def test_why_a_consumer_does_not_advance(
    open_page: Open, site: str, name: str, reason: str
) -> None:
    assert reason in open_page(f"{site}/consumer?name={name}").text


def test_operations_on_a_consumer(open_page: Open, site: str) -> None:
    rows = open_page(f"{site}/consumer?name=airports").rows(1)
    assert [row[1:3] for row in rows] == [["pause_consumer", "night shift"]]


def test_dead_letters(open_page: Open, site: str, db: Connection) -> None:
    visitor = open_page(f"{site}/dead-letters")

    letters = [each for each in admin.dead_letters(db, "charges") if each.failed]
    expected: dict[tuple[str, str], int] = {}
    for each in letters:
        key = each.type, (each.error or "").split("\n")[0]
        expected[key] = expected.get(key, 0) + 1
    assert {(row[1], row[2]): int(row[3]) for row in visitor.rows()} == expected
    assert len(expected) > 2
    visitor.page.click("text=No charge for a cancelled flight")
    of_kind = [each for each in letters if each.type == "Cancelled"]
    assert visitor.page.locator("article h2").all_inner_texts() == [
        f"{each.global_position:,} in {each.stream_name}" for each in of_kind
    ]
    visitor.page.locator("summary", has_text="Error and traceback").first.click()
    assert (of_kind[0].traceback or "?").strip() == visitor.page.locator("pre").first.inner_text()


def test_what_waits_behind_a_dead_letter(open_page: Open, site: str, db: Connection) -> None:
    letters = admin.dead_letters(db, "charges")
    waiting = next(each for each in letters if not each.failed)
    number = sum(each.stream_name == waiting.stream_name and not each.failed for each in letters)
    cause = next(each for each in letters if each.stream_name == waiting.stream_name)
    error = (cause.error or "").split("\n")[0]
    visitor = open_page(
        f"{site}/dead-letters/of-kind?consumer=charges&type={cause.type}&error={quote(error)}"
    )
    article = visitor.page.locator("article", has_text=waiting.stream_name).first.inner_text()
    assert f"{number} later message" in article


def test_retention(open_page: Open, site: str, db: Connection) -> None:
    visitor = open_page(f"{site}/retention")

    rows = visitor.rows()
    assert [row[:2] for row in rows] == [[each.category, str(each)] for each in policies(db)]
    commands = db.scalar(
        select(func.count()).where(functions.category(m.stream_name) == "maintenance:command")
    )
    assert [int(row[2]) for row in rows] == [0, 0, commands]
    assert "Nothing was deleted." in visitor.text


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        (f"aircraft-{AIRCRAFT}", f"Stream aircraft-{AIRCRAFT}"),
        ("aircraft", "Category aircraft"),
        ("comm", "Category maintenance:command"),
        ("1", "Departed at 1"),
        (AIRCRAFT, f"Search for {AIRCRAFT}"),
        ("nothing of this name", "Search for nothing of this name"),
    ],
)
def test_search(open_page: Open, site: str, text: str, heading: str) -> None:
    visitor = open_page(site)
    visitor.page.fill("#search", text)
    visitor.page.press("#search", "Enter")
    visitor.page.wait_for_selector(f"h1:text-is('{heading}')")


def test_search_for_an_entity(open_page: Open, site: str) -> None:
    visitor = open_page(f"{site}/search?q={AIRCRAFT}")
    assert sorted(visitor.page.locator("main li a").all_inner_texts()) == [
        f"{category}-{AIRCRAFT}" for category in ("aircraft", "maintenance", "maintenance:command")
    ]


def test_search_for_a_message_id(open_page: Open, site: str, db: Connection) -> None:
    (message,) = MessageStore(db).read_category("aircraft", batch_size=1)
    visitor = open_page(f"{site}/search?q={message.id}")
    assert visitor.page.inner_text("h1") == f"{message.type} at {message.global_position:,}"


def test_an_empty_store(open_page: Open, served: Serve, clean_database: URL) -> None:
    engine = create_engine(clean_database, poolclass=NullPool)
    url = served(engine)
    visitor = open_page(url)
    for path, shown in {
        "": "No consumer has run on this store.",
        "map": "The store has no messages and no consumers.",
        "messages": "There are no messages.",
        "consumers": "No consumer has run on this store.",
        "dead-letters": "There are no dead letters.",
        "retention": "There are no retention policies: all messages are kept.",
    }.items():
        visitor.visit(f"{url}/{path}")
        assert shown in visitor.text


def test_an_open_writer(open_page: Open, served: Serve, flights_copy: URL) -> None:
    engine = create_engine(
        flights_copy, poolclass=NullPool, connect_args={"application_name": "import of July"}
    )
    with engine.connect() as writer:
        MessageStore(writer).write("aircraft-N1", Message("Departed", {}))
        writer.execute(select(func.pg_sleep(1.1)))
        with create_engine(flights_copy, poolclass=NullPool).begin() as other:
            MessageStore(other).write("aircraft-N2", Message("Departed", {}))
        pid = writer.scalar(select(func.pg_backend_pid()))
        url = served(create_engine(flights_copy, poolclass=NullPool))
        visitor = open_page(url)
        assert "Open transactions that hold back others" in visitor.text
        (row,) = visitor.rows(0)
        assert row[:2] == [f"pid {pid}", "import of July"]
        assert f"SELECT pg_terminate_backend({pid})" in row[6]
        visitor.visit(f"{url}/consumer?name=charges")
        assert f'by pid {pid} (application "import of July", role ' in visitor.text
        assert "It continues when this transaction ends." in visitor.text


def test_times_are_in_utc(open_page: Open, site: str) -> None:
    time = open_page(f"{site}/messages").rows()[0][1]
    age = datetime.now(UTC) - datetime.fromisoformat(time).replace(tzinfo=UTC)
    assert 0 <= age.total_seconds() < 1_800
