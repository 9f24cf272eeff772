"""The parameters of a request, checked."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request

__all__ = ["checked_position", "checked_text", "query_position", "query_text", "query_time"]

_MAX_DIGITS = 18


def query_text(request: Request, name: str) -> str | None:
    """Return a parameter of the query; None if it is missing or empty."""
    return checked_text(name, request.query_params.get(name, "")) or None


def query_position(request: Request, name: str) -> int | None:
    """Return a position in the query; None if it is missing or empty."""
    value = request.query_params.get(name)
    return checked_position(name, value) if value else None


def query_time(request: Request, name: str) -> datetime | None:
    """Return a time in the query, in UTC by default; None if it is missing or empty."""
    value = request.query_params.get(name)
    if not value:
        return None
    try:
        time = datetime.fromisoformat(value)
        # In UTC, the year may be out of range.
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise HTTPException(
            400, f"{name} must be a time such as 2026-11-30T08:15, got {value!r}"
        ) from error


def checked_text(name: str, value: str) -> str:
    """Return a text that PostgreSQL can compare."""
    if "\0" in value:
        raise HTTPException(400, f"{name} must not contain NUL")
    return value


def checked_position(name: str, value: str) -> int:
    """Return the position that a text contains, with or without separators."""
    digits = value.replace(",", "").strip()
    if not digits.isdecimal() or len(digits) > _MAX_DIGITS:
        raise HTTPException(
            400, f"{name} must be a number of at most {_MAX_DIGITS} digits, got {value!r}"
        )
    return int(digits)
