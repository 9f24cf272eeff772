"""Forms that are invalid, or forged by another site."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from sqlalchemy import Engine

from mdb_sqla.host.http_server import serve
from mdb_sqla.web import create_app
from tests.web.pause_form import pause, paused, token_of


@pytest.fixture(scope="module")
def open_site(flights_engine: Engine) -> Iterator[str]:
    """The address of the web interface, where everyone may perform actions."""
    app = create_app(flights_engine, authorize=lambda request: "Ada")
    with serve(("127.0.0.1", 0), app) as url:
        yield url


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
