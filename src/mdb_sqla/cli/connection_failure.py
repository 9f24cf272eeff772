"""Failed connections: the reason in one line, with a remedy."""

from __future__ import annotations

import re

__all__ = ["connection_failure"]

# What psycopg puts before the reason that libpq or the server gives.
_PREFIX = re.compile(r"^(?:- host: .*?: )?connection (?:failed|is bad): ")
_FAILURES = ("connection failed: ", "connection is bad: ", "failed to resolve host", "connection t")
_REJECTED = "FATAL: "

_LOST = re.compile(
    "consuming input failed|server closed the connection|terminating connection"
    "|the connection is (?:closed|lost)|SSL connection has been closed"
)

_REMEDIES = tuple(
    (re.compile(pattern), remedy)
    for pattern, remedy in (
        (
            "password authentication failed|no password supplied",
            "Correct the user and password in the URL, or set PGPASSWORD",
        ),
        ('role ".*" does not exist', "Correct the user in the URL, or create the role"),
        (
            'database ".*" does not exist',
            "Correct the database in the URL, or create it with mdb create-database",
        ),
        (
            "permission denied for database",
            "Ask the owner of the database for the privilege CONNECT",
        ),
        (
            "pg_hba.conf|authentication failed",
            "Allow the user, host and encryption in the server's pg_hba.conf, or change the URL",
        ),
        (
            "Connection refused|No such file|Network is unreachable|No route",
            "Start the server, or correct the host and port in the URL",
        ),
        ("resolve host|translate host", "Correct the host in the URL"),
        ("timeout expired|timed out", "Check the host and port in the URL, and the firewall"),
        (
            "too many (?:clients|connections)|connection slots",
            "Close other connections, or raise max_connections",
        ),
        ("starting up|shutting down|recovery", "Try again in a moment"),
        ("session is read-only", "Promote a standby, or add the primary's host to the URL"),
        ("SSL|certificate", "Check sslmode and the certificates in the URL"),
    )
)


def connection_failure(error: BaseException) -> str | None:
    """Return why there is no connection, and what to do; None for other errors."""
    text = str(error).strip()
    if _LOST.match(text):
        return f"Connection lost: {text.splitlines()[0].rstrip('.')}. Run the command again."
    if not text.startswith(_FAILURES):
        return None
    lines = text.splitlines()
    # Of several addresses, the one where a server answers.
    reason = next((line for line in lines if _REJECTED in line), lines[0])
    reason = re.sub(rf"{_REJECTED} *", "", _PREFIX.sub("", reason)).rstrip(" .")
    remedy = next((remedy for each, remedy in _REMEDIES if each.search(reason)), "Check the URL")
    return f"Can't connect: {reason}. {remedy}."
