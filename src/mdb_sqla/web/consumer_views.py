"""The views of consumers and of dead letters."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mdb_sqla import admin
from mdb_sqla.admin.consumer_overview import ConsumerOverview
from mdb_sqla.web.charts import area
from mdb_sqla.web.consumer_diagnosis import diagnose, most_urgent
from mdb_sqla.web.dead_letter_groups import (
    MAX_ERROR,
    MAX_LETTERS,
    Kind,
    kinds,
    letters_of,
    waiting_behind,
)
from mdb_sqla.web.parameters import query_position, query_text
from mdb_sqla.web.site import site_of
from mdb_sqla.web.store_monitor import StoreMonitor

__all__ = ["consumer_list", "dead_letter_kinds", "dead_letters_of_kind", "lag_path", "one_consumer"]

_HOUR = 3_600.0
_MAX_CONSUMERS = 500


def lag_path(monitor: StoreMonitor, consumer: str) -> str:
    """Return the path of the lag of a consumer during the last hour."""
    now = time.monotonic()
    return area([(now - each.at, each.lag) for each in monitor.history(consumer)], _HOUR)


async def consumer_list(request: Request) -> Response:
    """Show all consumers."""
    site = site_of(request)
    snapshot = await site.monitor.snapshot()
    consumers = most_urgent(snapshot.consumers, _MAX_CONSUMERS)
    return await site.render(
        request,
        "consumers.html",
        snapshot=snapshot,
        consumers=consumers,
        lag_paths={each.name: lag_path(site.monitor, each.name) for each in consumers},
    )


async def one_consumer(request: Request) -> Response:
    """Show a consumer, and why it does not advance."""
    site = site_of(request)
    name = query_text(request, "name") or ""
    snapshot = await site.monitor.snapshot()
    consumer = next((each for each in snapshot.consumers if each.name == name), None)
    if consumer is None:
        raise HTTPException(404, f"There is no consumer {name!r}")
    rate = site.monitor.rate(name)
    silent = _silent(consumer)
    diagnosis = await site.database.read(lambda db: diagnose(db, consumer, rate, silent))
    history = await site.database.read(lambda db: admin.operations(db, subject=name, limit=20))
    return await site.render(
        request,
        "consumer.html",
        snapshot=snapshot,
        consumer=consumer,
        rate=rate,
        silent=silent,
        diagnosis=diagnosis,
        operations=history,
        lag_path=lag_path(site.monitor, name),
        max_lag=max((each.lag for each in site.monitor.history(name)), default=0),
    )


async def dead_letter_kinds(request: Request) -> Response:
    """Show the dead letters of all consumers, or of one, by what failed."""
    site = site_of(request)
    name = query_text(request, "consumer")
    snapshot = await site.monitor.snapshot()
    found = await site.database.read(lambda db: kinds(db, name))
    return await site.render(
        request, "dead_letters.html", snapshot=snapshot, kinds=found, consumer=name
    )


async def dead_letters_of_kind(request: Request) -> Response:
    """Show the dead letters of a kind, with tracebacks."""
    site = site_of(request)
    kind = Kind._make(query_text(request, name) or "" for name in Kind._fields)
    after = query_position(request, "after") or 0

    def read(db: Connection) -> tuple[list[admin.DeadLetter], dict[str, int]]:
        letters = letters_of(db, kind, after=after)
        streams = list(dict.fromkeys(letter.stream_name for letter in letters))
        return letters, waiting_behind(db, kind.consumer, streams)

    snapshot = await site.monitor.snapshot()
    letters, waiting = await site.database.read(read)
    return await site.render(
        request,
        "dead_letters_of_kind.html",
        snapshot=snapshot,
        kind=kind,
        letters=letters[:MAX_LETTERS],
        following=letters[MAX_LETTERS - 1].global_position if len(letters) > MAX_LETTERS else None,
        waiting=waiting,
        max_error=MAX_ERROR,
    )


def _silent(consumer: ConsumerOverview) -> float | None:
    saved = max((slot.updated_at for slot in consumer.slots), default=None)
    return None if saved is None else (datetime.now(UTC) - saved).total_seconds()
