"""What other clients and roles may write: names and errors of any size, line breaks, any JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, insert, select, text, update
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Message, MessageStore, RetryPolicy, admin, tables
from mdb_sqla.encryption import Encryption, KeyTable, PersonalData
from mdb_sqla.erasure import erase_stream, forget_subject
from mdb_sqla.host.http_server import serve
from mdb_sqla.web import create_app
from tests.conftest import Databases
from tests.web.conftest import Open, Serve

m = tables.messages.c
letters = tables.dead_letters
VIEWS = ["", "map", "messages", "messages?order=oldest", "consumers", "dead-letters", "retention"]
MOST = 1_500_000  # bytes of a page

LONG = "x" * 200_000
LINES = "line\r\nbreak\rand\nanother"


@pytest.fixture(scope="module")
def engine(databases: Databases, template: URL) -> Iterator[Engine]:
    with databases.create(template) as url:
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            fill(connection)
        yield engine


def fill(connection: Any) -> None:
    """Insert messages whose names and references are very long, one after the other."""
    related = {
        "causationMessageStreamName": f"{LONG}-1",
        "causationMessagePosition": "9" * 1_000_000,
        "correlationStreamName": f"c-{LONG * 10}",
        "replyStreamName": f"r-{LONG * 10}",
    }
    row = (
        "INSERT INTO message_store.messages (stream_name, position, type, data, metadata) "
        "SELECT :stream || n, 0, :type, '{}', CAST(:metadata AS jsonb) "
        "FROM generate_series(1, 60) n"
    )
    for stream, type_, metadata in (
        (f"{LONG}-", "T", {}),
        ("type-", LONG * 5, {}),
        ("metadata-", "T", related),
    ):
        values = {"stream": stream, "type": type_, "metadata": json.dumps(metadata)}
        connection.execute(text(row), values)


@pytest.fixture(scope="module")
def site(engine: Engine) -> Iterator[str]:
    with serve(("127.0.0.1", 0), create_app(engine, authorize=lambda request: "Ada")) as url:
        yield url


def position_of(engine: Engine, stream: str) -> int:
    with engine.connect() as connection:
        found = select(m.global_position).where(m.stream_name == stream)
        return int(connection.scalars(found).one())


@pytest.mark.parametrize("view", VIEWS)
def test_pages_stay_small(client: httpx2.Client, site: str, view: str) -> None:
    response = client.get(f"{site}/{view}")
    assert response.status_code == 200
    assert len(response.content) < MOST


@pytest.mark.parametrize("stream", [f"{LONG}-1", "type-1", "metadata-1"])
def test_messages_stay_small(client: httpx2.Client, site: str, engine: Engine, stream: str) -> None:
    response = client.get(f"{site}/message?at={position_of(engine, stream)}")
    assert response.status_code == 200
    assert len(response.content) < MOST
    assert "The search took too long" not in response.text


def test_a_search_for_a_long_text(client: httpx2.Client, site: str) -> None:
    for length in (3_000, 30_000):
        response = client.get(f"{site}/search?q={'x' * length}")
        assert response.status_code == 200


def test_a_filter_among_large_messages(
    client: httpx2.Client, served: Serve, clean_database: URL
) -> None:
    """Each part of the search ends in time, however large the messages are, and comes further."""
    engine = create_engine(clean_database, poolclass=NullPool)
    with engine.begin() as connection:
        statement = (
            "INSERT INTO message_store.messages (stream_name, position, type, data) "
            "SELECT 'large-1', n, 'T', jsonb_build_object('text', repeat('x', 1000000)) "
            "FROM generate_series(0, 49) n"
        )
        connection.execute(text(statement))
        found = 'UPDATE message_store.messages SET data = \'{"text": "needle"}\' WHERE position = 3'
        connection.execute(text(found))
    url = served(engine)
    query = "/messages?category=large&text=needle"
    for _ in range(100):
        response = client.get(f"{url}{query}")
        assert response.status_code == 200, response.text
        if "needle&#34;" in response.text:
            break
        following = response.text.partition('rel="next" href="')[2].partition('"')[0]
        assert following
        query = following.replace("&amp;", "&")
    else:
        raise AssertionError("not found")


def test_errors_and_types_of_dead_letters(
    client: httpx2.Client, open_page: Open, served: Serve, clean_database: URL
) -> None:
    """Line breaks arrive as they are, although browsers change those in forms."""
    engine = create_engine(clean_database, poolclass=NullPool)
    names = [f"order-{number}\n{LINES}" for number in range(4)]
    with engine.begin() as connection:
        for name in names:
            connection.execute(
                text(
                    "INSERT INTO message_store.messages (stream_name, position, type, data) "
                    "VALUES (:stream, 0, :type, '{}')"
                ),
                {"stream": name, "type": LINES},
            )
    consumer = Consumer(
        "billing", "order", on_failure="dead_letter", retry_policy=RetryPolicy(max_attempts=1)
    )

    @consumer.on()
    def fail(message: Any, unit: Any) -> None:
        raise ValueError(f"SMTP 550\r\n{'very long ' * 100_000}")

    consumer.catch_up(sessionmaker(engine))

    def failed() -> int:
        with engine.connect() as connection:
            return sum(each.failed for each in admin.dead_letters(connection))

    assert failed() == 4
    visitor = open_page(f"{served(engine, authorize=lambda request: 'Ada')}/dead-letters")
    page = visitor.page
    page.locator("main td a code").click()
    assert len(page.content()) < MOST
    assert "Only the first 20,000 characters are shown." in page.content()
    page.locator("button:text('Replay the stream')").first.click()
    assert page.inner_text(".notice") == "The messages will be handled again."
    assert failed() == 3
    page.locator("main td a code").click()
    page.click("button:text('Replay all of this kind')")
    assert page.inner_text(".notice") == "The messages will be handled again."
    assert failed() == 0
    consumer.catch_up(sessionmaker(engine))
    page.reload()
    page.locator("main td a code").click()
    page.click("text=Skip all of this kind…")
    page.click("button:text-is('Skip all')")
    assert page.inner_text(".notice") == "The messages were skipped."
    with engine.connect() as connection:
        assert admin.dead_letters(connection) == []


@pytest.mark.parametrize("action", ["replay", "skip"])
def test_actions_on_many_dead_letters(
    client: httpx2.Client, served: Serve, clean_database: URL, action: str
) -> None:
    """An action on exactly as many as are allowed does not say that there are others."""
    from tests.web.pause_form import TOKEN

    engine = create_engine(clean_database, poolclass=NullPool)
    consumer = Consumer("charges", "order")
    consumer.on()(lambda message, unit: None)
    consumer.catch_up(sessionmaker(engine))
    url = served(engine, authorize=lambda request: "Ada")
    found = TOKEN.search(client.get(f"{url}/consumer?name=charges").text)
    assert found is not None
    fields = {"token": found[1], "consumer": "charges", "type": "T", "error": "x"}
    for number, notice in ((1_000, "ed"), (1_001, "ed_partly")):
        with engine.begin() as connection:
            connection.execute(letters.delete())
            connection.execute(
                insert(letters),
                [
                    {
                        "consumer": "charges",
                        "slot": 0,
                        "global_position": each,
                        "stream_name": f"order-{each}",
                        "position": 0,
                        "type": "T",
                        "failed": True,
                        "attempts": 1,
                        "error": "x",
                    }
                    for each in range(1, number + 1)
                ],
            )
        response = client.post(f"{url}/actions/{action}", data=fields)
        assert response.status_code == 303, response.text
        past = {"replay": "replayed", "skip": "skipped"}[action]
        expected = past.removesuffix("ed") + notice
        assert response.headers["location"].endswith(f"notice={expected}")
        with engine.connect() as connection:
            left = [each for each in admin.dead_letters(connection) if each.failed]
        assert len(left) == number - 1_000


@pytest.mark.parametrize(
    "details", ["[]", "7", "null", '"text"', '[{"problems": 1}]', "9" * 5_000, '{"problems": []}']
)
def test_operations_with_any_details(
    client: httpx2.Client, served: Serve, clean_database: URL, details: str
) -> None:
    """A role that may add entries to the log may write any JSON."""
    engine = create_engine(clean_database, poolclass=NullPool)
    consumer = Consumer("billing", "order")
    consumer.on()(lambda message, unit: None)
    consumer.catch_up(sessionmaker(engine))
    with engine.begin() as connection:
        for kind, subject in (("verify", None), ("x", "billing")):
            connection.execute(
                text(
                    "INSERT INTO message_store.operations (kind, subject, details) "
                    "VALUES (:kind, :subject, CAST(:details AS jsonb))"
                ),
                {"kind": kind, "subject": subject, "details": details},
            )
    url = served(engine)
    for view in ("", "consumer?name=billing"):
        response = client.get(f"{url}/{view}")
        assert response.status_code == 200, response.text


def test_an_erased_stream(client: httpx2.Client, served: Serve, clean_database: URL) -> None:
    engine = create_engine(clean_database, poolclass=NullPool)
    with engine.begin() as connection:
        store = MessageStore(connection)
        first = Message("Registered", {"name": "Ada Lovelace"}, {"note": "Ada Lovelace"})
        store.write("person-1", first)
        stored = store.last_message("person-1")
        assert stored is not None
        store.write("mail-1", Message("Sent", {"n": 1}).follow(stored))
        erase_stream(connection, "person-1", reason="on request")
    url = served(engine)
    views = ["messages", "messages?stream=person-1", "message?at=1", "message?at=2", "retention"]
    views += ["message/data?at=1", "message/metadata?at=1", "messages?text=Lovelace"]
    pages = {view: client.get(f"{url}/{view}") for view in views}
    for view, response in pages.items():
        assert response.status_code == 200, view
        assert "Ada" not in response.text, view
    assert pages["message/data?at=1"].json() == {}
    assert pages["message/metadata?at=1"].json() == {"erased": True}
    shown = pages["message?at=1"].text
    # The message and its place in the story stay.
    assert "<h1>Registered at 1</h1>" in shown
    assert '<span class="json-key">&#34;erased&#34;</span>' in shown
    assert "Sent" in shown
    assert "No message matches." in pages["messages?text=Lovelace"].text
    assert "on request" in pages["retention"].text
    assert '<tr id="m1"' in pages["messages?stream=person-1"].text

    with engine.begin() as connection:
        erase_stream(connection, "person-1", reason="again", whole=True)
    assert client.get(f"{url}/message?at=1").status_code == 404
    assert "There are no messages in it." in client.get(f"{url}/messages?stream=person-1").text
    assert "is not in the store any more" in client.get(f"{url}/message?at=2").text


def test_encrypted_fields(client: httpx2.Client, served: Serve, clean_database: URL) -> None:
    """The page has no keys: it shows what is stored, before and after a subject is forgotten."""
    engine = create_engine(clean_database, poolclass=NullPool)
    encryption = Encryption(
        KeyTable(engine, b"k" * 32), {"Moved": PersonalData(subject="customer", fields=["name"])}
    )
    message = encryption.encrypt(Message("Moved", {"customer": "c-7", "name": "Ada Lovelace"}))
    with engine.begin() as connection:
        MessageStore(connection).write("customer-7", message)
    url = served(engine)

    def check() -> None:
        assert message.data["name"] in client.get(f"{url}/message?at=1").text
        for view in ("messages", "message?at=1", "message/data?at=1", "messages?text=Ada"):
            response = client.get(f"{url}/{view}")
            assert response.status_code == 200
            assert "Lovelace" not in response.text
        assert "encryptedFields" in client.get(f"{url}/message?at=1").text

    check()
    with engine.begin() as connection:
        forget_subject(connection, "c-7", reason="on request")
    check()
    assert "on request" in client.get(f"{url}/retention").text


def test_many_causes_and_effects(client: httpx2.Client, served: Serve, clean_database: URL) -> None:
    """A message with 100,000 effects, in as many categories."""
    engine = create_engine(clean_database, poolclass=NullPool)
    with engine.begin() as connection:
        statement = (
            "INSERT INTO message_store.messages (stream_name, position, type, metadata) "
            "SELECT 'c' || n || '-1', 0, 'T', CASE WHEN n > 0 THEN "
            "jsonb_build_object('causationMessageStreamName', 'c0-1', "
            "'causationMessagePosition', 0) END FROM generate_series(0, 100000) n ORDER BY n"
        )
        connection.execute(text(statement))
    url = served(engine)
    for view in (*VIEWS, "message?at=1", "message?at=1&windows=16", "message?at=50000"):
        response = client.get(f"{url}/{view}")
        assert response.status_code == 200
        assert len(response.content) < 300_000, view
    shown = client.get(f"{url}/message?at=1").text
    assert "Only the first 200 effects are shown." in shown
    assert client.get(f"{url}/map").text.count("<tr>") <= 202


def test_many_consumers(client: httpx2.Client, served: Serve, clean_database: URL) -> None:
    """Those that need attention are shown; the others cost nothing."""
    engine = create_engine(clean_database, poolclass=NullPool)
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", [Message("T") for _ in range(10)])
        connection.execute(
            text(
                "INSERT INTO message_store.consumers (consumer, categories, start) "
                "SELECT 'c' || n, '{order}', 1 FROM generate_series(1, 2000) n"
            )
        )
        connection.execute(
            text(
                "INSERT INTO message_store.consumer_slots (consumer, slot, slots, position) "
                "SELECT 'c' || n, 0, 1, 10 FROM generate_series(1, 2000) n"
            )
        )
        slots = tables.consumer_slots
        connection.execute(update(slots).where(slots.c.consumer == "c1234").values(position=3))
    url = served(engine)
    for view, shown in (("", 100), ("consumers", 500)):
        page = client.get(f"{url}/{view}").text
        assert f"These are the {shown} of 2,000 consumers that need most attention." in page
        assert ">c1234</a>" in page
        assert page.count("/consumer?name=") == shown
    page = client.get(f"{url}/map").text
    assert "1,940 consumers that need less attention are not shown." in page
    assert ">c1234</a>" in page
    assert client.get(f"{url}/consumer?{urlencode({'name': 'c77'})}").status_code == 200
