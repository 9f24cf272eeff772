"""The addresses of the views."""

from __future__ import annotations

VIEWS = ["", "map", "messages", "message?at=1", "search?q=a", "consumers"]
VIEWS += ["consumer?name=charges", "dead-letters", "retention"]
OF_KIND = "dead-letters/of-kind?consumer=charges&type=Cancelled&error=x"
