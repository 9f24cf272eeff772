"""Who may perform actions."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from sqlalchemy import Engine
from starlette.exceptions import HTTPException

from mdb_sqla.web import create_app
from tests.web.addresses import OF_KIND, VIEWS
from tests.web.conftest import Serve
from tests.web.pause_form import pause, paused, token_of


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
