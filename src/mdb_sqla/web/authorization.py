"""Who may change something: authorization, and protection from cross-site requests."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mdb_sqla.words.argument_checks import described

__all__ = ["TOKEN_FIELD", "Authorize", "add_token", "checked_form", "token_of", "user_of"]

Authorize: TypeAlias = Callable[[Request], str | Awaitable[str | None] | None]
"""Returns the name of the user if the user of a request may perform actions, otherwise None.

An empty name is none."""

TOKEN_FIELD = "token"  # noqa: S105 (the name of a form field)
_COOKIE = "mdb_sqla_token"
_MAX_BODY = 65_536  # bytes


def token_of(request: Request) -> str:
    """Return the token that forms on the page must send: that of the cookie, or a new one."""
    # Not in `request.state`, which may be that of the application around this one.
    token: str = request.scope.setdefault(
        _COOKIE, request.cookies.get(_COOKIE) or secrets.token_urlsafe(32)
    )
    return token


def add_token(request: Request, response: Response) -> None:
    """Set the cookie to which the token of a form is compared."""
    if request.cookies.get(_COOKIE) != token_of(request):
        response.set_cookie(
            _COOKIE,
            token_of(request),
            path=request.scope.get("root_path") or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )


async def checked_form(request: Request, authorize: Authorize) -> tuple[str, dict[str, str]]:
    """Return the user and the fields of a form, after checking that it comes from this page.

    Fields are also in the query of its address: browsers change line breaks in those of the body.
    A page of another site can neither read the token nor send the cookie, which is also refused by
    what the browser says about the origin of the request.

    Raises:
        HTTPException: the user may not perform actions, or the form comes from elsewhere.
    """
    user = await user_of(request, authorize)
    if user is None:
        raise HTTPException(403, "You may not perform actions")
    if not _is_same_origin(request):
        raise HTTPException(403, "The form was sent by another site")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise HTTPException(413, "The form is too large")
    fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    cookie = request.cookies.get(_COOKIE, "")
    token = fields.pop(TOKEN_FIELD, "")
    if not cookie or not secrets.compare_digest(cookie.encode(), token.encode()):
        raise HTTPException(403, "The form has no valid token: reload the page, and send it again")
    return user, dict(request.query_params) | fields


def _is_same_origin(request: Request) -> bool:
    """Return whether a request comes from this page, as far as the browser says so."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Without TLS, browsers send only this. Another port may set cookies of this host.
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def user_of(request: Request, authorize: Authorize | None) -> str | None:
    """Return the name of the user if the user may perform actions, otherwise None.

    Raises:
        TypeError: the function has returned something else.
    """
    if authorize is None:
        return None
    user: object = authorize(request)
    if inspect.isawaitable(user):
        user = await user
    # A proxy may set an empty header for a user who is not logged in.
    if user is None or user == "":
        return None
    if not isinstance(user, str):
        raise TypeError(f"authorize must return the name of a user or None, got {described(user)}")
    return user
