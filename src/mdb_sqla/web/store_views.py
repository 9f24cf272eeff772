"""The views of the whole store: overview, map and retention."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mdb_sqla.retention.policy import policies
from mdb_sqla.web.charts import bars
from mdb_sqla.web.consumer_diagnosis import most_urgent
from mdb_sqla.web.consumer_views import lag_path
from mdb_sqla.web.retention_overview import EXAMINED, policy_overviews, recent_deletions
from mdb_sqla.web.site import site_of
from mdb_sqla.web.store_map import draw_map, recent_flow

__all__ = ["overview", "retention", "store_map"]

_MAX_CONSUMERS = 100


async def overview(request: Request) -> Response:
    """Show the size, the rate of messages, the lag of consumers and what needs attention."""
    site = site_of(request)
    snapshot = await site.monitor.snapshot()
    consumers = most_urgent(snapshot.consumers, _MAX_CONSUMERS)
    return await site.render(
        request,
        "overview.html",
        snapshot=snapshot,
        consumers=consumers,
        bars="" if snapshot.activity is None else bars(snapshot.activity.minutes),
        lag_paths={each.name: lag_path(site.monitor, each.name) for each in consumers},
        dead_letters=sum(each.dead_letters for each in snapshot.consumers),
    )


async def store_map(request: Request) -> Response:
    """Show which consumers read which categories, and which messages cause others."""
    site = site_of(request)
    snapshot = await site.monitor.snapshot()
    flow = await site.messages.read(recent_flow)
    drawing = draw_map(flow, snapshot.consumers)
    return await site.render(request, "map.html", snapshot=snapshot, drawing=drawing, flow=flow)


async def retention(request: Request) -> Response:
    """Show the retention policies, what is due, what holds it back, and what was deleted."""
    site = site_of(request)
    snapshot = await site.monitor.snapshot()
    return await site.render(
        request,
        "retention.html",
        snapshot=snapshot,
        policies=await site.database.read(policy_overviews),
        number=len(await site.database.read(policies)),
        examined=EXAMINED,
        deletions=await site.database.read(recent_deletions),
    )
