"""What users may change: consumers and dead letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mdb_sqla import admin
from mdb_sqla.errors import InvalidArgument, NotPermitted
from mdb_sqla.web.authorization import checked_form
from mdb_sqla.web.dead_letter_groups import Kind, failed_positions
from mdb_sqla.web.site import site_of

__all__ = ["act"]

_Fields = Mapping[str, str]


def _pause(db: Connection, fields: _Fields, user: str) -> None:
    admin.pause_consumer(db, fields["consumer"], by=user)


def _resume(db: Connection, fields: _Fields, user: str) -> None:
    admin.resume_consumer(db, fields["consumer"], by=user)


def _reset(db: Connection, fields: _Fields, user: str) -> None:
    start = fields["start"].replace(",", "").strip()
    if not start.isdecimal() or len(start) > 18:
        raise InvalidArgument(f"start must be a global position of at least 1, got {start!r}")
    admin.reset_consumer(db, fields["consumer"], int(start), by=user)


def _replay(db: Connection, fields: _Fields, user: str) -> None:
    if "stream" in fields:
        admin.replay(db, fields["consumer"], fields["stream"], by=user)
        return
    for stream in dict.fromkeys(stream for _, stream in failed_positions(db, _kind(fields))):
        admin.replay(db, fields["consumer"], stream, by=user)


def _skip(db: Connection, fields: _Fields, user: str) -> None:
    if "position" in fields:
        admin.skip(db, fields["consumer"], int(fields["position"]), by=user)
        return
    for position, _ in failed_positions(db, _kind(fields)):
        admin.skip(db, fields["consumer"], position, by=user)


def _kind(fields: _Fields) -> Kind:
    return Kind(fields["consumer"], fields["type"], fields["error"])


_ACTIONS: dict[str, tuple[Callable[[Connection, _Fields, str], None], str, str]] = {
    "pause": (_pause, "consumer", "paused"),
    "resume": (_resume, "consumer", "resumed"),
    "reset": (_reset, "consumer", "reset"),
    "replay": (_replay, "dead_letters", "replayed"),
    "skip": (_skip, "dead_letters", "skipped"),
}


async def act(request: Request) -> Response:
    """Perform an action in one transaction, and return to the view that shows its result."""
    site = site_of(request)
    action, view, notice = _ACTIONS.get(request.path_params["action"], (None, "", ""))
    if action is None:
        raise HTTPException(404)
    if site.authorize is None:
        raise HTTPException(403, "Actions are not enabled")
    user, fields = await checked_form(request, site.authorize)
    try:
        await site.database.write(lambda db: action(db, fields, user))
    except KeyError as error:
        raise HTTPException(400, f"The form has no field {error}") from error
    except (InvalidArgument, NotPermitted, ValueError) as error:
        raise HTTPException(400, str(error)) from error
    await site.monitor.refresh()
    return site.redirect(request, view, **_query(view, fields), notice=notice)


def _query(view: str, fields: _Fields) -> dict[str, str]:
    return {"name": fields["consumer"]} if view == "consumer" else {}
