"""The embedded server."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import URL

from mdb_sqla.embedded.binaries import check_version, copied, installed_binaries, major_version
from mdb_sqla.embedded.child_process import end, start
from mdb_sqla.embedded.environment import (
    lock_file_of,
    status_of,
    temporary_root,
    unprivileged_user,
)
from mdb_sqla.embedded.errors import EmbeddedPostgresError
from mdb_sqla.embedded.loopback import loopback_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TIMEOUT", "EmbeddedPostgres"]

TIMEOUT = 60.0
"""The number of seconds that a server may take to start."""

_PORT = 5432  # only part of the socket's name

_FIND_INACCESSIBLE = 'for folder; do test -x "$folder" || { printf %s "$folder"; exit 1; }; done'


class EmbeddedPostgres:
    """A PostgreSQL server that runs until it is stopped, or until this process ends.

    However the process ends, the server shuts down and a temporary data directory is removed. The
    server listens on a Unix socket in a private directory, accessible to its user and root, with
    `trust` authentication. If this process runs as root, the server runs as the user `postgres`, or
    as `nobody` if there is no such user.

    Args:
        data_directory: the data directory, which is initialized if it is missing or empty, and kept
            after `stop()`; None for a temporary one.
        binaries: a directory with `postgres` and `initdb`, version 14 or later; None for those of
            the extra `embedded`.
        settings: settings as in `postgresql.conf`; address, port and socket can't be changed. With
            the default settings, commits are durable.
        port: a port of the loopback interface to listen on as well, for roles with a password.

    Raises:
        EmbeddedPostgresError: no binaries were passed and the extra `embedded` is not installed, or
            the platform is Windows.
    """

    def __init__(
        self,
        data_directory: str | Path | None = None,
        *,
        binaries: str | Path | None = None,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self._data = None if data_directory is None else Path(data_directory).resolve()
        self._binaries = installed_binaries() if binaries is None else Path(binaries).resolve()
        self._settings = dict(settings or {})
        self._port = port
        self._user = unprivileged_user()
        self._folder: Path | None = None
        self._starter = 0
        self._running = ExitStack()

    @cached_property
    def version(self) -> int:
        """The server's major version.

        Raises:
            EmbeddedPostgresError: the binaries can't be run.
        """
        return major_version(self._binaries)

    def start(self) -> Self:
        """Start the server, unless it is running, and wait until it accepts connections.

        Raises:
            EmbeddedPostgresError: the server can't be started; no process is left running.
        """
        if self._folder is not None:
            return self
        root = temporary_root()
        parent = self._data.parent if self._data else root
        parent.mkdir(parents=True, exist_ok=True)
        self._make_reachable(parent, root)
        with ExitStack() as running:
            folder = self._make_folder("mdb_sqla-", root)
            running.callback(shutil.rmtree, folder, ignore_errors=True)
            data = self._data or folder / "data"
            if not data.exists() or not any(data.iterdir()):
                self._initialize(data, folder)
            check_version(data, self.version)
            self._serve(data, folder, running)
            self._running = running.pop_all()
        self._folder = folder
        self._starter = os.getpid()
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Shut down the server, wait until it has ended, and remove a temporary data directory.

        Open transactions are rolled back. No effect if the server isn't running, or if the parent
        of this process has started it.
        """
        if self._folder is not None and self._starter == os.getpid():
            self._folder = None
            atexit.unregister(self.stop)
            self._running.close()

    def url(self, database: str = "postgres", driver: str = "psycopg") -> URL:
        """Return the URL to connect to a database of the running server as its superuser.

        Raises:
            EmbeddedPostgresError: the server isn't started.
        """
        if self._folder is None:
            raise EmbeddedPostgresError("The server isn't started: call start() first")
        return URL.create(
            f"postgresql+{driver}",
            username="postgres",
            port=self._port or _PORT,  # drivers default to PGPORT
            database=database,
            query={"host": str(self._folder)},
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _popen_options(self) -> dict[str, Any]:
        """Return the options of `Popen` for every program of the server."""
        # Variables such as PGCLIENTENCODING are for other servers.
        environment = {name: os.environ[name] for name in os.environ if not name.startswith("PG")}
        options: dict[str, Any] = {"cwd": "/", "env": environment}
        if self._user:
            options["user"] = self._user.pw_uid
            options["group"] = self._user.pw_gid
            options["extra_groups"] = []
        return options

    def _output_of(self, *command: str | Path) -> str:
        completed: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, **self._popen_options()
        )
        return completed.stdout

    def _spawn(
        self, stack: ExitStack, folder: Path, other: Path, program: str, *arguments: str
    ) -> subprocess.Popen[bytes]:
        """Start a program that ends with the stack or with this process, as do the folders."""
        command = [str(self._binaries / program), *arguments]
        process = start(folder, other, command, self._popen_options())
        stack.callback(end, process)
        return process

    def _make_folder(self, prefix: str, parent: Path) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        if self._user:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        return folder

    def _make_reachable(self, *folders: Path) -> None:
        """Make folders and binaries accessible to the server's user; copy binaries if needed."""
        name = f"postgresql-{self.version}"
        if self._user is None:
            return
        try:
            self._output_of(self._binaries / "initdb", "--version")
        except PermissionError:
            self._binaries = copied(self._binaries, name)
        paths = [path for folder in folders for path in (*reversed(folder.parents), folder)]
        inaccessible = self._output_of("/bin/sh", "-c", _FIND_INACCESSIBLE, "sh", *paths)
        if inaccessible:
            raise EmbeddedPostgresError(
                f"{inaccessible} is not accessible to the user {self._user.pw_name}, as which "
                "PostgreSQL runs if root starts it: use a data directory that this user can access"
            )

    def _initialize(self, data: Path, folder: Path) -> None:
        """Create a cluster in a temporary folder, and rename it to the data directory."""
        with ExitStack() as stack:
            unfinished = self._make_folder(f".{data.name}-", data.parent)
            stack.callback(shutil.rmtree, unfinished, ignore_errors=True)
            command = ["initdb", "-D", str(unfinished), "-U", "postgres", "-A", "trust"]
            command += ["-E", "UTF8"] if self._data else ["-E", "UTF8", "--no-sync"]
            for locale in ("--locale=C.UTF-8", "--no-locale"):
                if self._spawn(stack, folder, unfinished, *command, locale).wait() == 0:
                    break
            else:
                raise EmbeddedPostgresError(f"initdb failed:\n{_tail(folder)}")
            try:
                unfinished.rename(data)
            except OSError:
                # Another process may have created it.
                if not (data / "PG_VERSION").exists():
                    raise

    def _serve(self, data: Path, folder: Path, running: ExitStack) -> None:
        # The server of a killed process may still be running or shutting down.
        max_wait = {"": 0.0, "stopping": TIMEOUT}
        begin = time.monotonic()
        while time.monotonic() - begin < max_wait.get(status_of(data), 1.0):
            time.sleep(0.01)  # the status is in a file, whose changes are not announced
        settings = {
            **self._settings,
            "listen_addresses": "",
            "port": str(self._port or _PORT),
            "unix_socket_directories": str(folder),
        }
        if self._port is not None:
            settings |= loopback_settings(self._port, folder)
        options = [word for item in settings.items() for word in ("-c", "=".join(item))]
        deadline = time.monotonic() + TIMEOUT
        server = self._spawn(running, folder, folder, "postgres", "-D", str(data), *options)
        # The folder distinguishes this server's lock file from that of a crashed one.
        while (lines := lock_file_of(data))[4:5] != [str(folder)] or lines[7:8] != ["ready"]:
            with suppress(subprocess.TimeoutExpired):
                server.wait(0.01)
            if server.returncode is not None or time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL didn't start:\n{_tail(folder)}")


def _tail(folder: Path) -> str:
    return "\n".join((folder / "log").read_text(errors="replace").splitlines()[-20:])
