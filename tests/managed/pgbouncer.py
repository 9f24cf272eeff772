"""A transaction pooler in front of the tests' server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL

MISSING = "pgbouncer is not installed; on Debian: apt-get install --no-install-recommends pgbouncer"

_PORT = 6432  # no more than a part of the socket's name
_SERVER_CONNECTIONS = 4

_CONFIGURATION = """
[databases]
* = host={host} port={port}

[pgbouncer]
pool_mode = transaction
default_pool_size = {pool_size}
listen_port = {listen_port}
listen_addr =
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
log_connections = 0
log_disconnections = 0
log_stats = 0
"""


def installed() -> str | None:
    """Where the program is: Debian's is not on every user's path."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pgbouncer(
    server: URL, users: dict[str, str], pool_size: int = _SERVER_CONNECTIONS
) -> Iterator[URL]:
    """Start a pooler in front of a server, for users with their passwords; gives its address."""
    program = installed()
    assert program is not None
    # It does not run as root.
    user = pwd.getpwnam("postgres").pw_name if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="mdb_sqla-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "users").write_text("".join(f'"{u}" "{p}"\n' for u, p in users.items()))
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(
                host=server.host or server.query["host"],
                port=server.port or 5432,
                pool_size=pool_size,
                listen_port=_PORT,
                folder=folder,
            )
        )
        if user is not None:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, user)
        process = subprocess.Popen(
            [program, configuration], stderr=subprocess.PIPE, text=True, user=user
        )
        try:
            _wait_until_it_is_up(process)
            query = {"host": str(folder)}
            yield server.set(host=None, port=_PORT, query=query)
        finally:
            process.terminate()
            process.communicate()


def _wait_until_it_is_up(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    told: list[Any] = []
    for line in process.stderr:
        told.append(line)
        if "process up" in line:
            return
    raise AssertionError("".join(told))
