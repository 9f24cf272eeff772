"""The views of messages: lists, one message with its story, and search."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, Text, cast, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.tables import messages
from mdb_sqla.web.message_pages import (
    PAGE_SIZE,
    Filters,
    MessagePage,
    Source,
    position_at,
    read_page,
)
from mdb_sqla.web.message_rows import MAX_SHOWN
from mdb_sqla.web.message_story import MAX_EFFECTS, WINDOW, find_message, read_story
from mdb_sqla.web.site import site_of
from mdb_sqla.web.store_search import find_names, find_position, position_in_stream

__all__ = ["message_list", "one_message", "raw_json", "search"]

_MAX_WINDOWS = 1_000
_MAX_DIGITS = 18


async def message_list(request: Request) -> Response:
    """Show the messages of a stream, of a category, or of the whole store."""
    site, query = site_of(request), request.query_params
    source = Source(_text("stream", query.get("stream")), _text("category", query.get("category")))
    since = _time(query.get("since"))
    filters = Filters(_text("type", query.get("type")), _text("text", query.get("text")), since)
    newest_first = query.get("order", "newest") != "oldest"
    beyond = _position("beyond", query.get("beyond"))

    def read(db: Connection) -> MessagePage:
        start = beyond
        if since is not None and beyond is None and not newest_first:
            first = position_at(db, source, since)
            start = None if first is None else first - 1
        return read_page(db, source, filters, newest_first=newest_first, beyond=start)

    page = await site.database.read(read)
    return await site.render(
        request,
        "messages.html",
        source=source,
        filters=filters,
        since=query.get("since") or "",
        newest_first=newest_first,
        beyond=beyond,
        page=page,
        page_size=PAGE_SIZE,
        is_live=newest_first and beyond is None,
    )


async def one_message(request: Request) -> Response:
    """Show a message, what caused it, and what it caused."""
    site, query = site_of(request), request.query_params
    at = _position("at", query.get("at"))
    stream, place = (
        _text("stream", query.get("stream")),
        _position("position", query.get("position")),
    )
    if at is None and stream is not None and place is not None:
        at = await site.database.read(lambda db: position_in_stream(db, stream, place))
    if at is None:
        raise HTTPException(404, "There is no such message: it was deleted, or never written")
    position = at
    found = await site.database.read(lambda db: find_message(db, position))
    if found is None:
        raise HTTPException(404, f"There is no message at global position {at:,}")
    windows = min(_position("windows", query.get("windows")) or 1, _MAX_WINDOWS)
    story = await site.database.read(lambda db: read_story(db, found.row, windows=windows))
    return await site.render(
        request,
        "message.html",
        message=found,
        story=story,
        windows=windows,
        window=WINDOW,
        max_effects=MAX_EFFECTS,
        max_shown=MAX_SHOWN,
    )


async def raw_json(request: Request) -> Response:
    """Return the whole data or metadata of a message as JSON, to download."""
    part = request.path_params["part"]
    at = _position("at", request.query_params.get("at"))
    if part not in {"data", "metadata"} or at is None:
        raise HTTPException(404)
    statement = select(cast(messages.c[part], Text)).where(messages.c.global_position == at)
    rows = await site_of(request).database.read(lambda db: execute(db, statement, {}, WRITES))
    if not rows:
        raise HTTPException(404, f"There is no message at global position {at:,}")
    return Response(
        rows[0][0] or "null",
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{at}-{part}.json"'},
    )


async def search(request: Request) -> Response:
    """Find what a text names: a stream, a category, a message id, a position, or part of a name."""
    site = site_of(request)
    text = _text("q", request.query_params.get("q", "").strip())
    if text is None:
        return site.redirect(request, "messages")
    at = await site.database.read(lambda db: find_position(db, text))
    if at is not None:
        return site.redirect(request, "message", at=at)
    found = await site.database.read(lambda db: find_names(db, text))
    if len(found) == 1:
        return site.redirect(request, "messages", **found[0])
    return await site.render(request, "search.html", text=text, found=found)


def _text(name: str, value: str | None) -> str | None:
    if value and "\0" in value:
        raise HTTPException(400, f"{name} must not contain NUL")
    return value or None


def _position(name: str, value: str | None) -> int | None:
    if not value:
        return None
    if not value.isdecimal() or len(value) > _MAX_DIGITS:
        raise HTTPException(400, f"{name} must be a number of at most 18 digits, got {value!r}")
    return int(value)


def _time(value: str | None) -> datetime | None:
    """Return a time in UTC, such as `2026-11-30T08:15`."""
    if not value:
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError as error:
        raise HTTPException(
            400, f"since must be a time such as 2026-11-30T08:15, got {value!r}"
        ) from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
