"""Requests that are invalid, or sent to another host."""

from __future__ import annotations

import socket
from typing import Any

import httpx2
import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine

from mdb_sqla import InvalidArgument
from mdb_sqla.cli.web_command import serve_page
from mdb_sqla.web import create_app
from tests.web.addresses import VIEWS
from tests.web.conftest import Serve


@pytest.mark.parametrize(
    "query",
    [
        "messages?beyond=x",
        "messages?beyond=-1",
        "messages?beyond=9999999999999999999",
        "messages?since=yesterday",
        "messages?since=0001-01-01T00:00%2B14:00",
        "messages?stream=%00",
        "messages?text=%00",
        "message?at=1e3",
        "message?at=1&windows=-1",
        "search?q=%00",
        "consumer?name=%00",
        "dead-letters?consumer=%00",
        "dead-letters/of-kind?consumer=%00",
        "dead-letters/of-kind?after=x",
    ],
)
def test_invalid_addresses(client: httpx2.Client, site: str, query: str) -> None:
    response = client.get(f"{site}/{query}")
    assert response.status_code == 400
    assert "must" in response.text


@pytest.mark.parametrize(
    "query",
    [
        "x",
        "message?at=999999",
        "message?stream=a-1&position=0",
        "message",
        "consumer?name=x",
        "message/data?at=999999",
        "message/x?at=1",
        "static/../site.py",
        "static/%2e%2e/site.py",
    ],
)
def test_what_does_not_exist(client: httpx2.Client, site: str, query: str) -> None:
    assert client.get(f"{site}/{query}").status_code == 404


def test_extreme_times(client: httpx2.Client, site: str) -> None:
    assert "No message matches." in client.get(f"{site}/messages?since=9999-12-31T23:59:59").text
    page = client.get(f"{site}/messages?since=0001-01-01&order=oldest").text
    assert page.count('<tr id="m') == 50


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:80", 200),
        ("[::1]:8250", 200),
        ("store.example", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("", 400),
    ],
)
def test_other_hosts(client: httpx2.Client, flights_engine: Engine, host: str, status: int) -> None:
    with serve_page(flights_engine, ("127.0.0.1", 0), host_names=["store.example"]) as url:
        response = client.get(url, headers={"Host": host})
        assert response.status_code == status
        assert ("Overview" in response.text) == (status == 200)


@pytest.mark.parametrize(
    "host", ["*store.example", "a*", "store.example:8250", "http://x", "", " "]
)
def test_host_names_that_never_match(flights_engine: Engine, host: str) -> None:
    with pytest.raises(InvalidArgument, match=r"A host name must be a name such as store\.example"):
        create_app(flights_engine, allowed_hosts=["localhost", host])


def test_one_host_name_is_no_list(flights_engine: Engine) -> None:
    with pytest.raises(InvalidArgument, match="allowed_hosts must be a list of names"):
        create_app(flights_engine, allowed_hosts="localhost")


@pytest.mark.parametrize("host", ["*", "*.example", "Store.Example", "store"])
def test_patterns_of_hosts(
    client: httpx2.Client, served: Serve, flights_engine: Engine, host: str
) -> None:
    url = served(flights_engine, allowed_hosts=[host])
    name = {"*": "any.where", "*.example": "store.example"}.get(host, host.lower())
    assert client.get(url, headers={"Host": name}).status_code == 200


def test_other_methods(client: httpx2.Client, site: str) -> None:
    for view in VIEWS:
        response = client.head(f"{site}/{view}", follow_redirects=True)
        assert (response.status_code, response.content) == (200, b"")
    for method in ("OPTIONS", "POST", "PUT", "DELETE", "TRACE"):
        response = client.request(method, f"{site}/messages")
        assert response.status_code == 405
        assert "access-control-allow-origin" not in response.headers


def test_http_1_0(site: str) -> None:
    host, port = site.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(b"GET /messages HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.split(b"\r\n")[0].endswith(b" 200 OK")
    assert answer.endswith((b"</html>\n", b"</html>"))


@pytest.mark.parametrize("beyond", ["0", "1", "1,000", "999999999999999999"])
@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("source", ["", "category=aircraft&", "type=Departed&", "text=jfk&"])
def test_pages_at_the_ends(
    client: httpx2.Client, site: str, beyond: str, order: str, source: str
) -> None:
    response = client.get(f"{site}/messages?{source}order={order}&beyond={beyond}")
    assert response.status_code == 200
    is_empty = (beyond == "999999999999999999") == (order == "oldest")
    if beyond in {"0", "999999999999999999"}:
        assert ('<tr id="m' in response.text) != is_empty


def test_headers(client: httpx2.Client, site: str) -> None:
    for path in ("", "x", "static/page.js", "message/data?at=1"):
        headers = client.get(f"{site}/{path}").headers
        assert "default-src 'none'; script-src 'self'; " in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("no-cache" if "static" in path else "no-store")


def test_download(client: httpx2.Client, site: str) -> None:
    response = client.get(f"{site}/message/data?at=1")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-disposition"] == 'attachment; filename="1-data.json"'
    assert response.json().keys() == {"origin", "destination", "scheduled", "delay"}
    assert client.get(f"{site}/message/metadata?at=1").json().keys() == {"correlationStreamName"}


@pytest.mark.parametrize("engine", [None, "postgresql://", object()])
def test_what_is_no_engine(engine: Any) -> None:
    with pytest.raises(InvalidArgument, match="engine must be an Engine or an AsyncEngine, got"):
        create_app(engine)


def test_other_schema(client: httpx2.Client, served: Serve, empty_database: URL) -> None:
    from mdb_sqla import Message, MessageStore, migrations

    engine = create_engine(empty_database, poolclass=NullPool)
    migrations.upgrade(engine, schema="events")
    engine = engine.execution_options(schema_translate_map={"message_store": "events"})
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", Message("Placed"))
    url = served(engine, title="the <shop>")
    assert "Placed" in client.get(f"{url}/messages").text
    assert "Overview · the &lt;shop&gt;</title>" in client.get(url).text
