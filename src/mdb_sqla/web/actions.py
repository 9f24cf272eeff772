"""What users may change: consumers and dead letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mdb_sqla import admin
from mdb_sqla.consumers.dead_letter_queue import replay_messages, skip_messages
from mdb_sqla.errors import InvalidArgument, NotPermitted
from mdb_sqla.web.authorization import checked_form
from mdb_sqla.web.dead_letter_groups import MAX_AT_ONCE, Kind, failed_positions
from mdb_sqla.web.parameters import checked_position, checked_text
from mdb_sqla.web.site import site_of

__all__ = ["act"]

_Fields = Mapping[str, str]


def _pause(db: Connection, fields: _Fields, user: str) -> str:
    admin.pause_consumer(db, fields["consumer"], by=user)
    return "paused"


def _resume(db: Connection, fields: _Fields, user: str) -> str:
    admin.resume_consumer(db, fields["consumer"], by=user)
    return "resumed"


def _reset(db: Connection, fields: _Fields, user: str) -> str:
    start = checked_position("start", fields["start"])
    admin.reset_consumer(db, fields["consumer"], start, by=user)
    return "reset"


def _replay(db: Connection, fields: _Fields, user: str) -> str:
    if "stream" in fields:
        if not admin.replay(db, fields["consumer"], fields["stream"], by=user):
            raise InvalidArgument(f"{fields['stream']} has no dead letter any more")
        return "replayed"
    return _of_kind(db, replay_messages, fields, user, "replayed")


def _skip(db: Connection, fields: _Fields, user: str) -> str:
    if "position" in fields:
        position = checked_position("position", fields["position"])
        admin.skip(db, fields["consumer"], position, by=user)
        return "skipped"
    return _of_kind(db, skip_messages, fields, user, "skipped")


def _of_kind(
    db: Connection, action: Callable[..., None], fields: _Fields, user: str, notice: str
) -> str:
    kind = Kind._make(fields[name] for name in Kind._fields)
    positions = failed_positions(db, kind)
    if not positions:
        raise InvalidArgument("There are no dead letters of this kind any more")
    details = {"type": kind.type, "error": kind.error}
    action(db, kind.consumer, positions[:MAX_AT_ONCE], by=user, details=details)
    return notice if len(positions) <= MAX_AT_ONCE else f"{notice}_partly"


# Each returns the name of the notice that the view, which is named here, then shows.
_ACTIONS: dict[str, tuple[Callable[[Connection, _Fields, str], str], str]] = {
    "pause": (_pause, "consumer"),
    "resume": (_resume, "consumer"),
    "reset": (_reset, "consumer"),
    "replay": (_replay, "dead_letters"),
    "skip": (_skip, "dead_letters"),
}


async def act(request: Request) -> Response:
    """Perform an action in one transaction, and return to the view that shows its result."""
    site = site_of(request)
    action, view = _ACTIONS.get(request.path_params["action"], (None, ""))
    if action is None:
        raise HTTPException(404)
    if site.authorize is None:
        raise HTTPException(403, "Actions are not enabled")
    user, fields = await checked_form(request, site.authorize)
    for name, value in fields.items():
        checked_text(name, value)
    try:
        notice = await site.database.write(lambda db: action(db, fields, user))
    except KeyError as error:
        raise HTTPException(400, f"The form has no field {error}") from error
    except (InvalidArgument, NotPermitted) as error:
        raise HTTPException(400, str(error)) from error
    await site.monitor.refresh()
    return site.redirect(request, view, **_query(view, fields), notice=notice)


def _query(view: str, fields: _Fields) -> dict[str, str]:
    return {"name": fields["consumer"]} if view == "consumer" else {}
