"""The server itself: starting it on a cluster, and stopping it."""

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

from mdb_sqla.embedded.binaries import copied, installed_binaries, major_version
from mdb_sqla.embedded.child_process import end, start
from mdb_sqla.embedded.environment import notes_of, status_of, temporary_root, unprivileged_user
from mdb_sqla.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TIMEOUT", "EmbeddedPostgres"]

TIMEOUT = 60.0
"""How many seconds a server may take to start."""

_PORT = 5432  # no more than a part of the socket's name

_FIND_CLOSED = 'for folder; do test -x "$folder" || { printf %s "$folder"; exit 1; }; done'


class EmbeddedPostgres:
    """A PostgreSQL server that this process starts and that ends with it.

    However the process ends, the server shuts down, and a temporary data folder is removed. It
    listens on a unix socket only, in a private folder, and trusts whoever can reach that: its own
    user, and root. Started by root it runs as the user `postgres`, or `nobody` if there is none.

    Args:
        data_directory: the folder of the cluster, which is made where it's missing or empty, and
            stays after `stop()`; None for a temporary one.
        binaries: a folder with `postgres` and `initdb`, version 14 or later; None for those of the
            extra `embedded`.
        settings: as in `postgresql.conf`, units and all, except that address, port and socket stay
            as they are. Without settings, what is committed is durable.

    Raises:
        EmbeddedPostgresError: no binaries were given, and the extra isn't installed; or this is
            Windows.
    """

    def __init__(
        self,
        data_directory: str | Path | None = None,
        *,
        binaries: str | Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._data = None if data_directory is None else Path(data_directory).resolve()
        self._binaries = installed_binaries() if binaries is None else Path(binaries).resolve()
        self._settings = dict(settings or {})
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
        """Start the server and return once it accepts connections; if it was started, do nothing.

        Raises:
            EmbeddedPostgresError: it can't be started; nothing is left running.
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
            self._check_version(data)
            self._serve(data, folder, running)
            self._running = running.pop_all()
        self._folder = folder
        self._starter = os.getpid()
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Shut the server down and wait for that; remove the data folder if it's a temporary one.

        Transactions that are under way are rolled back. A server that isn't started is left alone,
        and so is one that the parent of this process started.
        """
        if self._folder is not None and self._starter == os.getpid():
            self._folder = None
            atexit.unregister(self.stop)
            self._running.close()

    def url(self, database: str = "postgres", driver: str = "psycopg") -> URL:
        """Return where SQLAlchemy reaches a database of the running server, as its superuser.

        Raises:
            EmbeddedPostgresError: the server isn't started.
        """
        if self._folder is None:
            raise EmbeddedPostgresError("The server isn't started")
        return URL.create(
            f"postgresql+{driver}",
            username="postgres",
            port=_PORT,  # the drivers would take a missing one from PGPORT
            database=database,
            query={"host": str(self._folder)},
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _surroundings(self) -> dict[str, Any]:
        """Return the arguments of `Popen` that every program of the server is run with."""
        # PGCLIENTENCODING and its like would become settings, and are meant for another server.
        environment = {name: os.environ[name] for name in os.environ if not name.startswith("PG")}
        surroundings: dict[str, Any] = {"cwd": "/", "env": environment}
        if self._user:
            surroundings["user"] = self._user.pw_uid
            surroundings["group"] = self._user.pw_gid
            surroundings["extra_groups"] = []
        return surroundings

    def _ask(self, *command: str | Path) -> str:
        answer: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, **self._surroundings()
        )
        return answer.stdout

    def _spawn(
        self, stack: ExitStack, folder: Path, other: Path, program: str, *arguments: str
    ) -> subprocess.Popen[bytes]:
        """Start a program that ends with the stack; with this process, the folders go as well."""
        command = [str(self._binaries / program), *arguments]
        process = start(folder, other, command, self._surroundings())
        stack.callback(end, process)
        return process

    def _make_folder(self, prefix: str, parent: Path) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        if self._user:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        return folder

    def _make_reachable(self, *folders: Path) -> None:
        """See that the server's user gets everywhere, to a copy of the binaries if need be."""
        name = f"postgresql-{self.version}"
        if self._user is None:
            return
        try:
            self._ask(self._binaries / "initdb", "--version")
        except PermissionError:
            self._binaries = copied(self._binaries, name)
        way = [step for folder in folders for step in (*reversed(folder.parents), folder)]
        closed = self._ask("/bin/sh", "-c", _FIND_CLOSED, "sh", *way)
        if closed:
            raise EmbeddedPostgresError(
                f"{closed} is closed to the user {self._user.pw_name}, as whom PostgreSQL "
                "runs when root starts it: it needs a folder for its data that this user can reach"
            )

    def _initialize(self, data: Path, folder: Path) -> None:
        """Make a cluster beside the data folder, which it replaces once it's complete."""
        with ExitStack() as stack:
            unfinished = self._make_folder(f".{data.name}-", data.parent)
            stack.callback(shutil.rmtree, unfinished, ignore_errors=True)
            command = ["initdb", "-D", str(unfinished), "-U", "postgres", "-A", "trust"]
            command += ["-E", "UTF8"] if self._data else ["-E", "UTF8", "--no-sync"]
            for locale in ("--locale=C.UTF-8", "--no-locale"):
                if self._spawn(stack, folder, unfinished, *command, locale).wait() == 0:
                    break
            else:
                raise EmbeddedPostgresError(f"The cluster can't be made:\n{_tail(folder)}")
            try:
                unfinished.rename(data)
            except OSError:
                # Another process may have been faster, and its cluster is as good.
                if not (data / "PG_VERSION").exists():
                    raise

    def _check_version(self, data: Path) -> None:
        try:
            major = int((data / "PG_VERSION").read_text())
        except FileNotFoundError:
            raise EmbeddedPostgresError(
                f"{data} is neither empty nor the data folder of a PostgreSQL server"
            ) from None
        if major != self.version:
            raise EmbeddedPostgresError(
                f"{data} was made by PostgreSQL {major}, the binaries are PostgreSQL {self.version}"
            )

    def _serve(self, data: Path, folder: Path, running: ExitStack) -> None:
        settings = {
            **self._settings,
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(folder),
        }
        options = [word for item in settings.items() for word in ("-c", "=".join(item))]
        # A killed process's server may have yet to hear of it, and then to shut down.
        patience = {"": 0.0, "stopping": TIMEOUT}
        begin = time.monotonic()
        while time.monotonic() - begin < patience.get(status_of(data), 1.0):
            time.sleep(0.01)  # between two looks at its files, for it is no child of this process
        deadline = time.monotonic() + TIMEOUT
        server = self._spawn(running, folder, folder, "postgres", "-D", str(data), *options)
        # The folder tells this server's notes from those of one that crashed.
        while (notes := notes_of(data))[4:5] != [str(folder)] or notes[7:8] != ["ready"]:
            with suppress(subprocess.TimeoutExpired):
                server.wait(0.01)
            if server.returncode is not None or time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL didn't start:\n{_tail(folder)}")


def _tail(folder: Path) -> str:
    return "\n".join((folder / "log").read_text(errors="replace").splitlines()[-20:])
