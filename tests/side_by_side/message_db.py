"""Message DB itself, the original, from its npm package."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy import URL

PACKAGES = {"1.2.6": "@eventide/message-db@1.2.6", "1.3.0": "@eventide/message-db@1.3.1"}
"""The npm package of each version; package 1.3.1 has the database of version 1.3.0."""


class MessageDBUnavailable(Exception):
    """It can't be fetched; the message says why."""


class MessageDB:
    """A version of Message DB, unpacked."""

    def __init__(self, version: str, folder: Path) -> None:
        self.version = version
        self._database = folder / "package" / "database"

    @classmethod
    def fetch(cls, version: str, folder: Path) -> MessageDB:
        """Fetch it with npm, into a folder that is made.

        Raises:
            MessageDBUnavailable: that can't be done.
        """
        folder.mkdir()
        _pack(PACKAGES[version], folder)
        # By the program, as `tarfile` takes its filter from Python 3.11.4 on, and warns without.
        subprocess.run(["tar", "-xzf", next(folder.glob("*.tgz")).name], cwd=folder, check=True)
        return cls(version, folder)

    def install(self, database: URL) -> None:
        """Run what its install.sh runs, as it does: each file with the default `search_path`.

        Not install.sh itself: that needs bash, psql and createdb, and slim builds of PostgreSQL
        come without the client programs.
        """
        with psycopg.connect(conninfo(database), autocommit=True) as connection:
            extensions = connection.execute("SELECT name FROM pg_available_extensions").fetchall()
            for name in self._files("install.sh"):
                # Slim builds come without pgcrypto. Its one use here is gen_random_uuid(), which is
                # in the core of every PostgreSQL that is still maintained.
                if name == "extensions/pgcrypto.sql" and ("pgcrypto",) not in extensions:
                    continue
                connection.execute((self._database / name).read_bytes())

    def install_benchmark(self, database: URL) -> None:
        """Install the functions of its benchmark.sh, beside any store, in the schema `public`."""
        with psycopg.connect(conninfo(database), autocommit=True) as connection:
            for name in ("benchmark_write.sql", "benchmark_get.sql"):
                connection.execute((self._database / name).read_bytes())

    def _files(self, script: str) -> Iterator[str]:
        text = (self._database / script).read_text(encoding="utf-8")
        for name in re.findall(r"\$base/([\w/-]+\.(?:sql|sh))", text):
            if name.endswith(".sh"):
                yield from self._files(name)
            else:
                yield name


def conninfo(database: URL) -> str:
    """The address of a database as libpq reads it."""
    return database.set(drivername="postgresql").render_as_string(hide_password=False)


def _pack(package: str, folder: Path) -> None:
    """Have npm put a package into a folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise MessageDBUnavailable("npm is not installed")
    options = [
        "--loglevel=error",
        "--prefer-offline",
        "--fetch-retries=0",
        "--pack-destination=.",
    ]
    try:
        done = subprocess.run(
            [npm, "pack", *options, package], cwd=folder, capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        raise MessageDBUnavailable(f"npm takes too long to fetch {package}") from None
    if done.returncode != 0:
        why, *_ = (done.stderr or "?").splitlines()
        raise MessageDBUnavailable(f"npm can't fetch {package}: {why}")
