"""The form that pauses a consumer."""

from __future__ import annotations

import re

import httpx2
from sqlalchemy import Engine

from mdb_sqla import admin

TOKEN = re.compile(r'name="token" value="([^"]+)"')


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
