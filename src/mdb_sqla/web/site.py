"""What all views share: the database, the monitor, authorization and templates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mdb_sqla.web.authorization import TOKEN_FIELD, Authorize, add_token, token_of, user_of
from mdb_sqla.web.bounded_database import BoundedDatabase
from mdb_sqla.web.consumer_diagnosis import health
from mdb_sqla.web.dead_letter_groups import MAX_AT_ONCE
from mdb_sqla.web.json_view import json_view
from mdb_sqla.web.message_database import MessageDatabase
from mdb_sqla.web.store_monitor import StoreMonitor
from mdb_sqla.words.durations import duration

__all__ = ["Site", "site_of"]

_NOTICES = {
    "paused": "The consumer is paused.",
    "resumed": "The consumer is resumed.",
    "reset": "The position was reset.",
    "replayed": "The messages will be handled again.",
    "skipped": "The messages were skipped.",
    "replayed_partly": f"{MAX_AT_ONCE:,} will be handled again; repeat it for the others.",
    "skipped_partly": f"{MAX_AT_ONCE:,} were skipped; repeat it for the others.",
}


class Site:
    """What all views share.

    Args:
        database: runs the queries.
        messages: runs the queries of messages, which standbys may serve. What concerns the state
            of the primary server runs on `database`: consumers, dead letters, open transactions,
            and retention, which can be changed there at any moment, also by the user who is
            looking.
        authorize: returns the user who may perform actions; None for no actions.
        title: the name of the store, as the page shows it.
    """

    def __init__(
        self,
        database: BoundedDatabase,
        messages: MessageDatabase,
        authorize: Authorize | None,
        title: str,
    ) -> None:
        self.database = database
        self.messages = messages
        self.monitor = StoreMonitor(database, messages)
        self.authorize = authorize
        self._title = title
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("mdb_sqla.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            duration=_duration, bytes=_bytes, count=_count, ago=_ago, utc=_utc, json=json_view
        )
        self._templates.globals.update(health=health, version=version("mdb_sqla"))

    async def render(
        self, request: Request, template: str, *, status: int = 200, **values: Any
    ) -> Response:
        """Return a page."""
        # Not for an error, which authorization itself may have raised.
        user = await user_of(request, self.authorize) if status == 200 else None
        text = self._templates.get_template(template).render(
            status_code=status,
            title=self._title,
            view=template.removesuffix(".html"),
            path=_Paths(request),
            user=user,
            token=token_of(request),
            token_field=TOKEN_FIELD,
            here=_here(request),
            is_polled="hx-request" in request.headers,
            is_get=request.method == "GET",
            notice=_NOTICES.get(request.query_params.get("notice", "")),
            monitor=self.monitor,
            **values,
        )
        response = HTMLResponse(text, status)
        if user is not None:
            add_token(request, response)
        return response

    @staticmethod
    def redirect(request: Request, view: str, /, **query: Any) -> Response:
        """Return a redirection to a view, after an action."""
        return RedirectResponse(_Paths(request)(view, **query), 303)


def site_of(request: Request) -> Site:
    """Return the site that serves a request."""
    site: Site = request.app.state.site
    return site


class _Paths:
    """Creates the path of a view, below the path at which the application is mounted."""

    def __init__(self, request: Request) -> None:
        self._routes = request.app
        self._root = request.scope.get("root_path", "").rstrip("/")

    def __call__(self, view: str, /, **query: Any) -> str:
        return self._path({key: each for key, each in query.items() if each != ""}, view)

    def action(self, action: str, fields: Mapping[str, Any]) -> str:
        """Return the path of an action with its fields, which may be empty."""
        return self._path(fields, "act", action=action)

    def static(self, file: str) -> str:
        """Return the path of a static file."""
        return self._path({}, "static", path=f"/{file}")

    def raw(self, part: str, at: int) -> str:
        """Return the path of the data or metadata of a message as JSON."""
        return self._path({"at": at}, "raw", part=part)

    def _path(self, query: Mapping[str, Any], route: str, /, **parts: str) -> str:
        path = f"{self._root}{self._routes.url_path_for(route, **parts)}"
        given = {key: value for key, value in query.items() if value is not None}
        return f"{path}?{urlencode(given)}" if given else path


def _here(request: Request) -> str:
    """Return the path and query of a request without its notice, from which it is polled."""
    query = [item for item in request.query_params.multi_items() if item[0] != "notice"]
    root = request.scope.get("root_path", "").rstrip("/")
    path = request.scope["path"].removeprefix(root) if root else request.scope["path"]
    return f"{root}{path}?{urlencode(query)}" if query else f"{root}{path}"


def _duration(seconds: float) -> str:
    return duration(seconds) if math.isfinite(seconds) else "unknown"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1_000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:,.1f} TB"


def _count(number: float, at_least: bool = False) -> str:
    return f"{number:,}{'+' * at_least}"


def _ago(time: datetime) -> str:
    return f"{duration((datetime.now(UTC) - time).total_seconds())} ago"


def _utc(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
