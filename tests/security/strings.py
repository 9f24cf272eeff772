"""What somebody may type who wants it to be taken for something else than a value."""

from __future__ import annotations

HOSTILE = [
    "'); DROP TABLE message_store.messages; --",
    '"; DROP TABLE message_store.messages; --',
    "$$; SELECT 1; $$",
    "$function$ $sql$ $do$",
    "\\'; SELECT 1; --",
    "\\",
    "\\N",
    "\\.",
    "\t\n\r\b",
    "/* */ -- ;",
    "%s %(name)s %I %L %% %",
    ":name ::text",
    "{schema} {0} {}",
    "$1 $2",
    "null",
    "ünï \U0001f4a5 ‮ ﷺ",
    "a" * 2000,
]
"""Each of them can be stored."""
