"""Names and contents that try to be HTML, scripts and styles are shown as text; extremes, too."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx2
import pytest
from markupsafe import escape
from sqlalchemy import URL, Engine, NullPool, create_engine, select, text

from mdb_sqla import tables
from mdb_sqla.host.http_server import serve
from mdb_sqla.web import create_app
from tests.conftest import Databases
from tests.web.conftest import Open
from tests.web.strange_store import ATTACKS, CONTENTS, NAMES, fill_strangely

m = tables.messages.c


@pytest.fixture(scope="module")
def engine(databases: Databases, template: URL) -> Iterator[Engine]:
    with databases.create(template) as url:
        engine = create_engine(
            url, poolclass=NullPool, connect_args={"application_name": ATTACKS[1][:60]}
        )
        fill_strangely(engine)
        yield engine


@pytest.fixture(scope="module")
def site(engine: Engine) -> Iterator[str]:
    app = create_app(engine, authorize=lambda request: ATTACKS[0], title=ATTACKS[3])
    with serve(("127.0.0.1", 0), app) as url:
        yield url


@pytest.fixture
def writer(engine: Engine) -> Iterator[None]:
    """An open transaction whose query is an attack."""
    with engine.connect() as connection:
        connection.execute(
            text(
                "INSERT INTO message_store.messages (stream_name, position, type) "
                "VALUES (:s, 1, 'T')"
            ),
            {"s": f"{ATTACKS[2]}-1"},
        )
        connection.exec_driver_sql(f"SELECT pg_sleep(1.1) /* {ATTACKS[4]} {ATTACKS[5]} */")
        yield


def position_of(engine: Engine, stream: str) -> int:
    with engine.connect() as connection:
        position: int | None = connection.scalar(
            select(m.global_position).where(m.stream_name == stream)
        )
        assert position is not None
        return position


def test_nothing_that_is_shown_runs(
    open_page: Open, site: str, engine: Engine, writer: None
) -> None:
    visitor = open_page(site)
    page = visitor.page
    others: list[str] = []
    page.on("request", lambda request: others.append(request.url))
    attack = ATTACKS[0]
    views = ["", "map", "messages", "messages?order=oldest", "consumers", "dead-letters"]
    views += ["retention", f"message?at={position_of(engine, 'content-attack')}"]
    for each in ATTACKS[:4]:
        name = quote(each)
        views += [f"search?q={name}", f"messages?stream={name}&type={name}&text={name}"]
    views += [f"consumer?{urlencode({'name': attack})}", "message?at=1", "message?at=3"]
    views += [f"dead-letters?{urlencode({'consumer': each})}" for each in ATTACKS[:2]]
    for view in views:
        visitor.visit(f"{site}/{view}")
        assert page.locator("main").is_visible(), view
        assert (
            page.locator(
                "main script, main img, main style, main [onload], main [hx-on\\:click]"
            ).count()
            == 0
        )
        assert page.locator("a[href^='javascript']").count() == 0
    assert {url.split("/")[2] for url in others} == {site.split("/")[2]}
    visitor.allow("400 (Bad Request)", "404 (Not Found)")


def test_what_is_shown_is_the_text(open_page: Open, site: str, engine: Engine) -> None:
    visitor = open_page(f"{site}/messages?order=oldest")
    assert [row[2] for row in visitor.rows()[: len(ATTACKS)]] == ATTACKS
    visitor.visit(f"{site}/dead-letters")
    assert sorted({row[0] for row in visitor.rows()}) == sorted(ATTACKS)
    first = visitor.page.locator("tr", has_text="long long").locator("td a").nth(1)
    first.click()
    assert visitor.page.locator("article").count() == 1
    visitor.page.click("text=Skip all of this kind…")
    visitor.visit(f"{site}/consumer?{urlencode({'name': ATTACKS[0]})}")
    assert f"It is paused, by {ATTACKS[1]}." in visitor.text


def test_the_policy_refuses_scripts(open_page: Open, site: str) -> None:
    """Even if the escaping failed, the browser would run nothing."""
    visitor = open_page(site)
    visitor.page.evaluate(
        """() => {
          const add = (tag, values) =>
            document.body.append(Object.assign(document.createElement(tag), values));
          add("script", {textContent: "document.title = 'inline'"});
          add("script", {src: "data:text/javascript,document.title='data'"});
          add("script", {src: "https://evil.example/x.js"});
          add("img", {src: "https://evil.example/x.png"});
          add("iframe", {src: "/messages"});
          document.body.insertAdjacentHTML("beforeend", "<p onclick=\\"document.title='click'\\" "
            + "id=attack style='color: red'>x</p>");
          document.getElementById("attack").click();
        }"""
    )
    visitor.page.wait_for_timeout(300)
    assert visitor.page.title().startswith("Overview")
    assert (
        visitor.page.evaluate("getComputedStyle(document.getElementById('attack')).color")
        != "rgb(255, 0, 0)"
    )
    refused = [each for each in visitor.problems if "Content Security Policy" in each]
    assert len(refused) >= 6
    visitor.problems.clear()


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_strange_names(client: httpx2.Client, site: str, engine: Engine, name: str) -> None:
    position = position_of(engine, name)
    address = urlencode({"stream": name})
    response = client.get(f"{site}/messages?{address}")
    assert response.status_code == 200
    assert f'id="m{position}"' in response.text
    response = client.get(f"{site}/message?{address}&position=0")
    assert response.status_code == 200
    assert address.replace("&", "&amp;") in response.text
    category = urlencode({"category": name.partition("-")[0]})
    if name.partition("-")[0]:
        assert f'id="m{position}"' in client.get(f"{site}/messages?{category}").text


def test_strange_names_in_the_browser(open_page: Open, site: str) -> None:
    visitor = open_page(f"{site}/messages?order=oldest")
    # What a browser makes of the links.
    links = visitor.page.locator("tbody a.name").evaluate_all(
        "links => links.map((a) => [a.textContent, a.href])"
    )
    found = {name: link for name, link in links if name in NAMES}
    assert found.keys() == set(NAMES)
    for name in (NAMES[0], NAMES[2], NAMES[5]):
        visitor.visit(found[name])
        shown = visitor.page.inner_text("h1").removeprefix("Stream")
        assert shown.split() == name.split()
        assert len(visitor.rows()) == 1
    assert {parse_qs(urlsplit(link).query)["stream"][0] for link in found.values()} == set(NAMES)


@pytest.mark.parametrize("name", CONTENTS)
def test_extreme_contents(client: httpx2.Client, site: str, engine: Engine, name: str) -> None:
    position = position_of(engine, f"content-{name}")
    response = client.get(f"{site}/message?at={position}")
    assert response.status_code == 200, response.text
    assert len(response.content) < 1_500_000
    download = client.get(f"{site}/message/data?at={position}")
    assert download.status_code == 200
    assert len(download.text) >= len((CONTENTS[name] or "null").replace(" ", "")) * 0.9
    assert client.get(f"{site}/messages?stream=content-{name}").status_code == 200


def test_extreme_contents_in_the_browser(open_page: Open, site: str, engine: Engine) -> None:
    visitor = open_page(site)
    for name in CONTENTS:
        visitor.visit(f"{site}/message?at={position_of(engine, f'content-{name}')}")
        assert visitor.page.locator("h2:text-is('Data')").is_visible()
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_lists_do_not_read_large_contents(client: httpx2.Client, site: str) -> None:
    response = client.get(f"{site}/messages")
    assert response.status_code == 200
    assert len(response.content) < 300_000


@pytest.mark.parametrize("stream", [f"time-{number}" for number in range(5)])
def test_times_out_of_range(client: httpx2.Client, site: str, stream: str) -> None:
    for path in ("messages", "message"):
        response = client.get(f"{site}/{path}?stream={stream}&position=0")
        assert response.status_code == 200
    for since in ("2020-01-01T00:00", "9999-12-31T23:59"):
        query = f"stream={stream}&since={since}&order=oldest"
        assert client.get(f"{site}/messages?{query}").status_code == 200


@pytest.mark.parametrize("number", range(7))
def test_strange_metadata(client: httpx2.Client, site: str, number: int) -> None:
    response = client.get(f"{site}/message?stream=metadata-{number}&position=0")
    assert response.status_code == 200
    assert ("is not in the store any more" in response.text) == (number == 6)


def test_the_reason_of_an_erasure(client: httpx2.Client, site: str) -> None:
    page = client.get(f"{site}/retention").text
    assert f"{escape(ATTACKS[0])}</td>" in page
    assert ATTACKS[0] not in page


def test_an_action_on_a_strange_consumer(open_page: Open, site: str) -> None:
    visitor = open_page(f"{site}/consumer?{urlencode({'name': ATTACKS[1]})}")
    visitor.page.click("button:text('Pause')")
    assert visitor.page.inner_text(".notice") == "The consumer is paused."
    assert f"It is paused, by {ATTACKS[0]}." in visitor.text
    visitor.page.click("button:text('Resume')")
