"""The application is mounted in others, behind proxies, and with every kind of engine."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.types import ASGIApp, Receive, Scope, Send

from mdb_sqla import admin
from mdb_sqla.web import create_app
from tests.web.conftest import Open, Serve

LINK = re.compile(r'(?:href|src|action|hx-get)="([^"#][^"]*)"')
TOKEN = re.compile(r'name="token" value="([^"]+)"')


def behind(prefix: str, app: ASGIApp) -> ASGIApp:
    """An application behind a proxy that removes a prefix of the path, as `--root-path` states."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": prefix}, receive, send)

    return call


class Tagged:
    """Middleware of an application that uses the state of a request for its own purposes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["token"] = "secret bearer token"
        scope["state"]["user"] = "Grace"
        await self._app(scope, receive, send)


def test_mounted_in_fastapi(open_page: Open, served: Serve, flights_copy: URL) -> None:
    engine = create_engine(flights_copy, poolclass=NullPool)
    app = FastAPI()
    app.add_middleware(Tagged)
    app.mount("/admin/messages", create_app(engine, authorize=lambda request: request.state.user))
    url = served(app)
    visitor = open_page(f"{url}/admin/messages")
    page = visitor.page
    assert page.url == f"{url}/admin/messages/"
    assert "secret" not in page.content()
    assert page.evaluate("getComputedStyle(document.body).margin") == "0px"
    for view in ("Map", "Messages", "Consumers", "Dead letters", "Retention", "Overview"):
        page.click(f"header nav a:text-is('{view}')")
        assert page.inner_text("h1") == view.replace("Messages", "All messages")
        links = LINK.findall(page.content())
        assert all(each.startswith("/admin/messages/") for each in links), links
    page.click("a:text-is('charges')")
    page.click("button:text('Pause')")
    assert page.inner_text(".notice") == "The consumer is paused."
    assert page.url.startswith(f"{url}/admin/messages/consumer?name=charges")
    (cookie,) = page.context.cookies()
    assert cookie["path"] == "/admin/messages"
    assert cookie["httpOnly"]
    with engine.connect() as connection:
        assert admin.operations(connection, limit=1)[0].performed_by == "Grace"
    page.fill("#search", "aircraft")
    page.press("#search", "Enter")
    assert page.inner_text("h1") == "Category aircraft"
    page.wait_for_event("request", lambda request: "/admin/messages/messages?" in request.url)


@pytest.mark.parametrize("strips", [False, True])
def test_behind_a_proxy(client: httpx2.Client, served: Serve, flights: URL, strips: bool) -> None:
    engine = create_engine(flights, poolclass=NullPool)
    url = served(behind("/store", create_app(engine, authorize=lambda request: "Ada")))
    prefix = "" if strips else "/store"
    response = client.get(f"{url}{prefix}/consumers")
    assert response.status_code == 200
    links = LINK.findall(response.text)
    assert all(each.startswith("/store/") for each in links)
    assert 'hx-get="/store/consumers"' in response.text
    assert "Path=/store" in response.headers["set-cookie"]
    assert client.get(f"{url}{prefix}/static/page.js").status_code == 200
    response = client.get(f"{url}{prefix}/search?q=aircraft")
    assert response.headers["location"] == "/store/messages?category=aircraft"


@pytest.mark.parametrize("strips", [False, True])
def test_mounted_behind_a_proxy(
    client: httpx2.Client, served: Serve, flights: URL, strips: bool
) -> None:
    app = FastAPI()
    app.mount("/messages", create_app(create_engine(flights, poolclass=NullPool)))
    url = served(behind("/store", app)) + ("" if strips else "/store")
    for path, heading in {"/messages/consumers": "Consumers", "/messages/": "Overview"}.items():
        response = client.get(f"{url}{path}")
        assert f"<h1>{heading}</h1>" in response.text
        links = LINK.findall(response.text)
        assert all(each.startswith("/store/messages/") for each in links)
    assert "All messages" in client.get(f"{url}/messages/messages").text
    assert client.get(f"{url}/messages/static/page.js").status_code == 200


def test_mounted_below_a_path_like_that_of_its_files(
    client: httpx2.Client, served: Serve, flights: URL
) -> None:
    app = FastAPI()
    app.mount("/static/messages", create_app(create_engine(flights, poolclass=NullPool)))
    url = f"{served(app)}/static/messages"
    assert client.get(f"{url}/messages").headers["cache-control"] == "no-store"
    assert client.get(f"{url}/static/page.js").headers["cache-control"] == "no-cache"


@pytest.fixture(params=["psycopg", "asyncpg"])
def async_site(request: pytest.FixtureRequest, served: Serve, flights_copy: URL) -> str:
    url = flights_copy.set(drivername=f"postgresql+{request.param}")

    async def authorize(request: Any) -> str:
        return "Ada"

    return served(create_async_engine(url, poolclass=NullPool), authorize=authorize)


def test_async_engine(client: httpx2.Client, async_site: str, flights_copy: URL) -> None:
    for view in ("", "map", "messages", "messages?category=aircraft&text=jfk", "message?at=1"):
        response = client.get(f"{async_site}/{view}")
        assert response.status_code == 200, response.text
    for view in ("consumers", "consumer?name=fleet", "dead-letters", "retention"):
        assert client.get(f"{async_site}/{view}").status_code == 200
    found = TOKEN.search(client.get(f"{async_site}/consumer?name=charges").text)
    assert found is not None
    fields = {"token": found[1], "consumer": "charges"}
    response = client.post(f"{async_site}/actions/pause", data=fields)
    assert response.headers["location"] == "/consumer?name=charges&notice=paused"
    with create_engine(flights_copy, poolclass=NullPool).connect() as connection:
        assert admin.operations(connection, limit=1)[0].performed_by == "Ada"


def test_drivers(client: httpx2.Client, served: Serve, flights: URL) -> None:
    url = served(create_engine(flights.set(drivername="postgresql+psycopg2"), poolclass=NullPool))
    for view in ("", "map", "messages", "message?at=1", "consumers", "dead-letters", "retention"):
        assert client.get(f"{url}/{view}").status_code == 200


def test_in_a_new_event_loop_each(flights: URL) -> None:
    """As FastAPI's test client runs requests."""
    app = FastAPI()
    app.mount("/m", create_app(create_engine(flights, poolclass=NullPool)))
    client = TestClient(app)
    for _ in range(6):
        assert client.get("/m/messages").status_code == 200
        assert client.get("/m/").status_code == 200
