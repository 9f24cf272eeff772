"""The ASGI application of the web interface."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.store.standbys import Standbys
from mdb_sqla.web import actions, consumer_views, message_views, store_views
from mdb_sqla.web.authorization import Authorize
from mdb_sqla.web.bounded_database import BoundedDatabase
from mdb_sqla.web.complete_path import CompletePath
from mdb_sqla.web.failures import FAILURES, failure_text
from mdb_sqla.web.message_database import MessageDatabase
from mdb_sqla.web.security_headers import SecurityHeaders
from mdb_sqla.web.site import Site, site_of
from mdb_sqla.words.argument_checks import described, instance

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["create_app"]

_HOST = re.compile(r"\*|(\*\.)?[\w.-]+")


def create_app(
    engine: Engine | AsyncEngine,
    *,
    read_from: Standbys | None = None,
    authorize: Authorize | None = None,
    allowed_hosts: Collection[str] | None = None,
    title: str | None = None,
) -> ASGIApp:
    """Return the web interface of a store, an ASGI application to serve or to mount.

        app.mount("/messages", create_app(engine, authorize=current_admin))

    It shows all messages to everyone who can reach it: protect it like the rest of your
    administration, for example with a middleware or a proxy. It reads with short, bounded,
    read-only transactions, for which the privileges of `message_store_reader` suffice.

    Args:
        engine: the engine of the store. For a schema of another name, use
            `engine.execution_options(schema_translate_map=...)`.
        read_from: hot standbys to read messages from, in place of the primary server, which then
            has to be asked only how far they must have replayed its log. A page shows what it would
            show without them. They need version `0004` of the store.
        authorize: allows actions: pausing, resuming and resetting consumers, replaying and skipping
            dead letters. A function of the Starlette request that returns the name of the user, or
            None if the user may not perform actions; it may be async. The name is recorded with
            each action. Without it, there are no actions.
        allowed_hosts: the names under which browsers may access the page; any if None. A list
            protects a page on the loopback interface from other sites whose name resolves to it.
        title: the name of the store that the page shows; by default that of the database.

    Raises:
        InvalidArgument: `engine` is neither an `Engine` nor an `AsyncEngine`, `read_from` is not
            `Standbys` with engines of the same kind, or a host is invalid.
    """
    database = BoundedDatabase(engine)
    if read_from is not None:
        instance("read_from", read_from, Standbys)
    messages = MessageDatabase(database, read_from)
    middleware = (
        []
        if allowed_hosts is None
        else [Middleware(TrustedHostMiddleware, allowed_hosts=_hosts(allowed_hosts))]
    )
    app = Starlette(
        routes=[
            Route("/", store_views.overview, name="overview"),
            Route("/map", store_views.store_map, name="map"),
            Route("/messages", message_views.message_list, name="messages"),
            Route("/message", message_views.one_message, name="message"),
            Route("/message/{part}", message_views.raw_json, name="raw"),
            Route("/search", message_views.search, name="search"),
            Route("/consumers", consumer_views.consumer_list, name="consumers"),
            Route("/consumer", consumer_views.one_consumer, name="consumer"),
            Route("/dead-letters", consumer_views.dead_letter_kinds, name="dead_letters"),
            Route(
                "/dead-letters/of-kind",
                consumer_views.dead_letters_of_kind,
                name="dead_letters_of_kind",
            ),
            Route("/retention", store_views.retention, name="retention"),
            Route("/actions/{action}", actions.act, name="act", methods=["POST"]),
            Mount("/static", StaticFiles(packages=[("mdb_sqla.web", "static")]), name="static"),
        ],
        middleware=middleware,
        exception_handlers={
            HTTPException: _refused,
            **dict.fromkeys(FAILURES, _failed),
            Exception: _bug,
        },
    )
    app.state.site = Site(
        database, messages, authorize, title or engine.url.database or "message store"
    )
    # Around the handler of unexpected errors, too.
    return CompletePath(SecurityHeaders(app))


def _hosts(names: Collection[str]) -> list[str]:
    """Return the names as the header `Host` has them: an IPv6 address is in brackets."""
    if isinstance(names, str):
        raise InvalidArgument(f"allowed_hosts must be a list of names, got {described(names)}")
    return [_host(name) for name in names]


def _host(name: str) -> str:
    try:
        return f"[{IPv6Address(name)}]"
    except ValueError:
        pass
    if not _HOST.fullmatch(name):
        raise InvalidArgument(
            "A host name must be a name such as store.example, without a port, or *.example for "
            f"all names that end in .example, or * for any, got {described(name)}"
        )
    return name


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for it)
    response = await site_of(request).render(
        request, "error.html", status=error.status_code, problem=error.detail
    )
    # For example a redirection to a login, or a request to authenticate.
    response.headers.update(error.headers or {})
    return response


async def _failed(request: Request, error: Exception) -> Response:
    return await site_of(request).render(
        request, "error.html", status=503, problem=failure_text(error)
    )


async def _bug(request: Request, error: Exception) -> Response:
    # Starlette raises it again for the server, which logs it.
    return await site_of(request).render(
        request, "error.html", status=500, problem=failure_text(error)
    )
