"""JSON as HTML that can be folded."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from markupsafe import Markup, escape

__all__ = ["json_view"]

_MAX_NODES = 5_000
_OPEN_DEPTH = 3  # levels that are shown unfolded


class _TooLarge(Exception):
    """The value has too many nodes to show each of them as an element."""


def json_view(text: str | None) -> Markup:
    """Return JSON as HTML, in which objects and arrays can be folded.

    A value that is very large, or that was truncated, is shown as plain text.
    """
    if text is None:
        return Markup('<span class="json-null">null</span>')
    try:
        value = json.loads(text, parse_float=Decimal)
        return _Renderer().render(value)
    except (ValueError, RecursionError, _TooLarge):
        return Markup("<pre>{}</pre>").format(text)


class _Renderer:
    def __init__(self) -> None:
        self._nodes = 0

    def render(self, value: Any, depth: int = 0) -> Markup:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise _TooLarge
        if isinstance(value, dict) and value:
            members = (
                Markup('<li><span class="json-key">{}</span>: {}</li>').format(
                    json.dumps(key, ensure_ascii=False), self.render(each, depth + 1)
                )
                for key, each in value.items()
            )
            return _folded("{", Markup("").join(members), "}", len(value), depth)
        if isinstance(value, list) and value:
            items = (Markup("<li>{}</li>").format(self.render(each, depth + 1)) for each in value)
            return _folded("[", Markup("").join(items), "]", len(value), depth)
        return _scalar(value)


def _folded(begin: str, members: Markup, end: str, number: int, depth: int) -> Markup:
    unfolded = Markup(" open") if depth < _OPEN_DEPTH else ""
    return Markup(
        '<details class="json"{}><summary>{}<span class="json-count">{}</span></summary>'
        "<ul>{}</ul>{}</details>"
    ).format(unfolded, begin, f" {number:,} {'}' if begin == '{' else ']'}", members, end)


def _scalar(value: Any) -> Markup:
    if isinstance(value, str):
        kind, text = "string", json.dumps(value, ensure_ascii=False)
    elif value is None or isinstance(value, bool):
        kind, text = "word", json.dumps(value)
    elif isinstance(value, int | Decimal):
        kind, text = "number", str(value)
    else:
        kind, text = "word", "{}" if isinstance(value, dict) else "[]"
    return Markup('<span class="json-{}">{}</span>').format(kind, escape(text))
