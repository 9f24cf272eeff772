"""The views of messages: lists, one message with its story, and search."""

from __future__ import annotations

from sqlalchemy import Connection, Text, cast, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.tables import messages
from mdb_sqla.web.failures import FAILURES, is_too_slow
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
from mdb_sqla.web.parameters import query_position, query_text, query_time
from mdb_sqla.web.site import site_of
from mdb_sqla.web.store_search import find_names, find_position, position_in_stream

__all__ = ["message_list", "one_message", "raw_json", "search"]

_MAX_WINDOWS = 1_000


async def message_list(request: Request) -> Response:
    """Show the messages of a stream, of a category, or of the whole store."""
    site, query = site_of(request), request.query_params
    source = Source(query_text(request, "stream"), query_text(request, "category"))
    since = query_time(request, "since")
    filters = Filters(query_text(request, "type"), query_text(request, "text"), since)
    newest_first = query.get("order", "newest") != "oldest"
    beyond = query_position(request, "beyond")

    def read(db: Connection) -> MessagePage:
        start = beyond
        if since is not None and beyond is None and not newest_first:
            first = position_at(db, source, since)
            start = None if first is None else first - 1
        return read_page(db, source, filters, newest_first=newest_first, beyond=start)

    page = await site.messages.read(read)
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
    site, at = site_of(request), query_position(request, "at")
    stream, place = query_text(request, "stream"), query_position(request, "position")
    if at is None and stream is not None and place is not None:
        at = await site.messages.read(lambda db: position_in_stream(db, stream, place))
    if at is None:
        raise HTTPException(404, "There is no such message: it was deleted, or never written")
    position = at
    found = await site.messages.read(lambda db: find_message(db, position))
    if found is None:
        raise HTTPException(404, f"There is no message at global position {at:,}")
    windows = min(query_position(request, "windows") or 1, _MAX_WINDOWS)
    try:
        story = await site.messages.read(lambda db: read_story(db, found.row, windows=windows))
    except FAILURES as error:
        if not is_too_slow(error):
            raise
        story = None
    return await site.render(
        request,
        "message.html",
        message=found,
        story=story,
        windows=windows,
        can_search_further=windows < _MAX_WINDOWS,
        window=WINDOW,
        max_effects=MAX_EFFECTS,
        max_shown=MAX_SHOWN,
    )


async def raw_json(request: Request) -> Response:
    """Return the whole data or metadata of a message as JSON, to download."""
    part = request.path_params["part"]
    at = query_position(request, "at")
    if part not in {"data", "metadata"} or at is None:
        raise HTTPException(404)
    statement = select(cast(messages.c[part], Text)).where(messages.c.global_position == at)
    rows = await site_of(request).messages.read(lambda db: execute(db, statement, {}, WRITES))
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
    text = (query_text(request, "q") or "").strip()
    if not text:
        return site.redirect(request, "messages")
    at = await site.messages.read(lambda db: find_position(db, text))
    if at is not None:
        return site.redirect(request, "message", at=at)
    found = await site.messages.read(lambda db: find_names(db, text))
    if len(found) == 1:
        return site.redirect(request, "messages", **found[0])
    return await site.render(request, "search.html", text=text, found=found)
