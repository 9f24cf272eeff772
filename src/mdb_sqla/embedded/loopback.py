"""The loopback interface: free ports, and who may connect."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from mdb_sqla.embedded.errors import EmbeddedPostgresError

__all__ = ["free_addresses", "free_port", "loopback_settings"]

_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
# Below the ports that systems assign to outgoing connections, and above the well-known ones.
_FIRST, _LAST = 15_000, 32_000
_ATTEMPTS = 100

# Other users of the machine can connect to the port, but not to the socket's directory.
_ACCESS_RULES = """\
local all all trust
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
"""


def free_port() -> int:
    """Return a random port that nothing listens on.

    Raises:
        EmbeddedPostgresError: there is none, or this process can't listen on any.
    """
    for _ in range(_ATTEMPTS):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        with suppress(EmbeddedPostgresError):
            free_addresses(port)
            return port
    raise EmbeddedPostgresError(
        f"Can't listen on localhost: {_ATTEMPTS} ports between {_FIRST} and {_LAST} were tried"
    )


def free_addresses(port: int) -> list[str]:
    """Return the addresses of `localhost` on which to listen, at least one.

    Raises:
        EmbeddedPostgresError: another program listens on the port of one of them, the port can't be
            used, or there is no loopback interface.
    """
    # PostgreSQL starts if it can listen on one of several; clients would reach the other program.
    with ExitStack() as bound:
        addresses = list(_bind(port, bound))
    if not addresses:
        # PostgreSQL would start, and listen on its socket alone.
        raise EmbeddedPostgresError(
            f"Can't listen on port {port} of localhost: the loopback interface has no address"
        )
    return addresses


def loopback_settings(port: int, folder: Path) -> dict[str, str]:
    """Return the settings of a server that listens on `localhost` and asks for passwords there.

    Args:
        port: the port.
        folder: a private folder for the rules, readable by the server's user.

    Raises:
        EmbeddedPostgresError: as for `free_addresses`.
    """
    addresses = free_addresses(port)
    file = folder / "pg_hba.conf"
    file.write_text(_ACCESS_RULES, encoding="utf-8")
    file.chmod(0o644)  # this process may be root's
    return {"listen_addresses": ",".join(addresses), "hba_file": str(file)}


def _bind(port: int, bound: ExitStack) -> Iterator[str]:
    for family, address in _ADDRESSES:
        try:
            listener = bound.enter_context(socket.socket(family, socket.SOCK_STREAM))
            # As PostgreSQL does: connections that were closed moments ago don't keep the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen()
        except OSError as error:
            if error.errno in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
                continue
            raise EmbeddedPostgresError(
                f"Can't listen on port {port} of localhost: {error.strerror}"
            ) from error
        yield address
