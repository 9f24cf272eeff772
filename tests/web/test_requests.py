"""Requests that are invalid, forged or sent to another host."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine
from starlette.exceptions import HTTPException

from mdb_sqla import InvalidArgument, admin
from mdb_sqla.cli.web_command import serve_page
from mdb_sqla.host.http_server import serve
from mdb_sqla.web import create_app
from tests.web.conftest import Serve

TOKEN = re.compile(r'name="token" value="([^"]+)"')

VIEWS = ["", "map", "messages", "message?at=1", "search?q=a", "consumers"]
VIEWS += ["consumer?name=charges", "dead-letters", "retention"]
OF_KIND = "dead-letters/of-kind?consumer=charges&type=Cancelled&error=x"


@pytest.fixture(scope="module")
def open_site(flights_engine: Engine) -> Iterator[str]:
    """The address of the web interface, where everyone may perform actions."""
    app = create_app(flights_engine, authorize=lambda request: "Ada")
    with serve(("127.0.0.1", 0), app) as url:
        yield url


def token_of(client: httpx2.Client, url: str) -> str:
    found = TOKEN.search(client.get(f"{url}/consumer?name=charges").text)
    assert found is not None
    return found[1]


def paused(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [each.name for each in admin.consumers(connection) if each.paused_at is not None]


def pause(client: httpx2.Client, url: str, token: str | None, **headers: str) -> httpx2.Response:
    fields = {"consumer": "charges"} | ({} if token is None else {"token": token})
    return client.post(f"{url}/actions/pause", data=fields, headers=headers)


@pytest.mark.parametrize("token", [None, "", "x", "é"])
def test_a_form_without_the_token(
    client: httpx2.Client, open_site: str, flights_engine: Engine, token: str | None
) -> None:
    token_of(client, open_site)
    response = pause(client, open_site, token)

    assert response.status_code == 403
    assert "The form has no valid token: reload the page, and send it again" in response.text
    assert paused(flights_engine) == ["airports"]


def test_a_token_without_its_cookie(
    client: httpx2.Client, open_site: str, flights_engine: Engine
) -> None:
    token = token_of(client, open_site)
    client.cookies.clear()

    assert pause(client, open_site, token).status_code == 403
    assert pause(client, open_site, "").status_code == 403
    assert paused(flights_engine) == ["airports"]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_a_form_of_another_site(
    client: httpx2.Client, open_site: str, flights_engine: Engine, site: str
) -> None:
    token = token_of(client, open_site)
    response = pause(client, open_site, token, **{"Sec-Fetch-Site": site})

    assert response.status_code == 403
    assert "The form was sent by another site" in response.text
    assert paused(flights_engine) == ["airports"]


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "http://127.0.0.1:1", "http://localhost", "x", ""]
)
def test_a_form_of_another_origin(
    client: httpx2.Client, open_site: str, flights_engine: Engine, origin: str
) -> None:
    """A browser that sends no `Sec-Fetch-Site`, as without TLS, and has the token's cookie."""
    token = token_of(client, open_site)
    response = pause(client, open_site, token, Origin=origin)

    assert response.status_code == 403
    assert "The form was sent by another site" in response.text
    assert paused(flights_engine) == ["airports"]


def test_a_form_of_this_origin(client: httpx2.Client, open_site: str) -> None:
    token = token_of(client, open_site)
    for headers in ({"Origin": open_site}, {"Sec-Fetch-Site": "same-origin", "Origin": "null"}):
        url, fields = f"{open_site}/actions/pause", {"consumer": "x", "token": token}
        response = client.post(url, data=fields, headers=headers)
        assert "There is no consumer &#39;x&#39;" in response.text


def test_fields_in_the_address_need_the_token_of_the_form(
    client: httpx2.Client, open_site: str, flights_engine: Engine
) -> None:
    token = token_of(client, open_site)
    response = client.post(f"{open_site}/actions/pause?consumer=charges&token={token}")

    assert response.status_code == 403
    assert paused(flights_engine) == ["airports"]


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "multipart/form-data"])
def test_other_content_types_need_the_token(
    client: httpx2.Client, open_site: str, flights_engine: Engine, kind: str
) -> None:
    """What a page of another site can send without asking first."""
    token_of(client, open_site)
    for body in ("consumer=charges", '{"consumer": "charges"}'):
        url, headers = f"{open_site}/actions/pause", {"Content-Type": kind}
        assert client.post(url, content=body, headers=headers).status_code == 403
    assert paused(flights_engine) == ["airports"]


def test_the_cookie(client: httpx2.Client, open_site: str) -> None:
    header = client.get(f"{open_site}/consumer?name=charges").headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(header.split("; "))
    assert "set-cookie" not in client.get(f"{open_site}/consumer?name=charges").headers


def test_actions_without_authorization(
    client: httpx2.Client, site: str, flights_engine: Engine
) -> None:
    for view in (*VIEWS, OF_KIND):
        response = client.get(f"{site}/{view}", follow_redirects=True)
        assert 'method="post"' not in response.text
        assert "set-cookie" not in response.headers
    response = pause(client, site, "x")
    assert (response.status_code, "Actions are not enabled" in response.text) == (403, True)
    assert paused(flights_engine) == ["airports"]


def test_a_user_who_may_not(client: httpx2.Client, served: Serve, flights_engine: Engine) -> None:
    async def authorize(request: Any) -> str | None:
        user: str | None = request.headers.get("x-user")
        return user

    url = served(flights_engine, authorize=authorize)
    assert 'method="post"' not in client.get(f"{url}/consumer?name=charges").text
    client.headers["x-user"] = "Ada"
    token = token_of(client, url)
    assert "actions are recorded as Ada" in client.get(url).text
    del client.headers["x-user"]
    response = pause(client, url, token)
    assert (response.status_code, "You may not perform actions" in response.text) == (403, True)
    assert paused(flights_engine) == ["airports"]


def test_an_empty_name_is_no_user(
    client: httpx2.Client, served: Serve, flights_engine: Engine
) -> None:
    """As a proxy sets its header for a user who is not logged in."""
    url = served(flights_engine, authorize=lambda request: request.headers.get("x-user"))
    client.headers["x-user"] = "Ada"
    token = token_of(client, url)
    client.headers["x-user"] = ""

    assert 'method="post"' not in client.get(f"{url}/consumer?name=charges").text
    response = pause(client, url, token)
    assert (response.status_code, "You may not perform actions" in response.text) == (403, True)
    assert paused(flights_engine) == ["airports"]


@pytest.mark.parametrize("user", [True, False, 7, {"name": "Ada"}])
def test_authorization_that_returns_no_name(
    client: httpx2.Client, served: Serve, flights_engine: Engine, user: Any
) -> None:
    url = served(flights_engine, authorize=lambda request: user)
    response = client.get(f"{url}/consumer?name=charges")
    assert response.status_code == 500
    assert 'method="post"' not in response.text
    # The server has closed the connection.
    assert httpx2.post(f"{url}/actions/pause?consumer=charges").status_code == 500
    assert paused(flights_engine) == ["airports"]


def test_every_route_is_known_here(flights_engine: Engine) -> None:
    """Only actions change something; a new route needs its tests of authorization."""
    app: Any = create_app(flights_engine)
    while not hasattr(app, "routes"):
        app = app._app
    methods: dict[str, Any] = {route.path: getattr(route, "methods", None) for route in app.routes}
    assert methods.pop("/static") is None
    assert methods.pop("/actions/{action}") == {"POST"}
    assert {frozenset(each) for each in methods.values()} == {frozenset({"GET", "HEAD"})}
    tested = {view.partition("?")[0] for view in (*VIEWS, OF_KIND, "message/{part}")}
    assert {path.removeprefix("/") for path in methods} == tested


def test_authorization_that_raises(
    client: httpx2.Client, served: Serve, flights_engine: Engine
) -> None:
    def authorize(request: Any) -> str | None:
        if "x-login" in request.headers:
            raise HTTPException(303, headers={"Location": "/login"})
        raise HTTPException(401, "Log in first", headers={"WWW-Authenticate": "Basic"})

    url = served(flights_engine, authorize=authorize)
    response = client.get(url)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Basic")
    assert "Log in first" in response.text
    assert client.get(url, headers={"x-login": ""}).headers["location"] == "/login"


def test_authorization_with_a_bug(
    client: httpx2.Client, served: Serve, flights_engine: Engine
) -> None:
    def authorize(request: Any) -> str | None:
        raise ZeroDivisionError("secret")

    response = client.get(served(flights_engine, authorize=authorize))
    assert response.status_code == 500
    assert "This is a bug, which is logged: ZeroDivisionError" in response.text
    assert "secret" not in response.text
    assert "content-security-policy" in response.headers


@pytest.mark.parametrize("action", ["pause", "resume", "reset", "replay", "skip"])
def test_an_action_by_get(client: httpx2.Client, open_site: str, action: str) -> None:
    response = client.get(f"{open_site}/actions/{action}?consumer=charges")
    assert response.status_code == 405


def test_an_unknown_action(client: httpx2.Client, open_site: str) -> None:
    token = token_of(client, open_site)
    assert client.post(f"{open_site}/actions/drop", data={"token": token}).status_code == 404


def test_a_form_that_is_too_large(client: httpx2.Client, open_site: str) -> None:
    fields = {"token": token_of(client, open_site), "consumer": "x" * 70_000}
    response = client.post(f"{open_site}/actions/pause", data=fields)
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("action", "fields", "problem"),
    [
        ("pause", {}, "The form has no field"),
        ("pause", {"consumer": "a\0"}, "consumer must not contain NUL"),
        ("pause", {"consumer": "x"}, "There is no consumer &#39;x&#39;"),
        ("reset", {"consumer": "charges", "start": "-7"}, "start must be a number of at most 18"),
        ("reset", {"consumer": "charges", "start": "9" * 19}, "start must be a number of at most"),
        ("reset", {"consumer": "charges", "start": "0"}, "start"),
        ("skip", {"consumer": "charges", "position": "x"}, "position must be a number"),
        ("skip", {"consumer": "charges", "position": "9" * 18}, "999999999999999999"),
        ("replay", {"consumer": "charges", "stream": "x"}, "x has no dead letter any more"),
        (
            "skip",
            {"consumer": "charges", "type": "x", "error": "x"},
            "There are no dead letters of this kind any more",
        ),
    ],
)
def test_invalid_forms(
    client: httpx2.Client, open_site: str, action: str, fields: dict[str, str], problem: str
) -> None:
    fields = fields | {"token": token_of(client, open_site)}
    response = client.post(f"{open_site}/actions/{action}", data=fields)
    assert (response.status_code, problem in response.text) == (400, True), response.text


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
