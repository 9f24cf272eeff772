"""The tools of Message DB under their old names: each runs the command that does it now."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from sqlalchemy import URL

from mdb_sqla.cli import main as mdb
from mdb_sqla.cli.options import errors, fail, output, prepare_streams

__all__ = ["OLD_NAMES", "main"]

_Environment = Mapping[str, str]
_DEFAULT = "message_store"  # the name of the database and of the user
_DATA = '{"attribute": "some value"}'
_METADATA = '{"metaAttribute": "some meta value"}'


def _report(name: str, filter_: str, variable: str) -> Callable[[_Environment], list[str]]:
    def arguments(environment: _Environment) -> list[str]:
        part = environment.get(variable)
        return ["report", name, *([f"--{filter_}={part}"] if part else [])]

    return arguments


def _print_messages(environment: _Environment) -> list[str]:
    stream = environment.get("STREAM_NAME")
    return ["print", *(["--", stream] if stream else [])]


def _create(environment: _Environment) -> list[str]:
    if environment.get("CREATE_DATABASE") == "off":
        return ["upgrade", "--roles"]
    return ["create-database", "--roles"]


def _write(environment: _Environment) -> list[str]:
    metadata = environment.get("METADATA", _METADATA).strip()
    if metadata.startswith("'"):
        # An SQL literal, as the original takes it.
        metadata = metadata.strip("'").replace("''", "'")
    about = [] if metadata.upper() == "NULL" else [f"--metadata={metadata}"]
    stream = environment.get("STREAM_NAME") or f"testStream-{uuid4()}"
    type_ = environment.get("TYPE") or "SomeType"
    return ["write", f"--data={_DATA}", *about, "--", stream, type_]


OLD_NAMES: dict[str, Callable[[_Environment], list[str]]] = {
    "mdb-create-db": _create,
    "mdb-delete-db": lambda _: ["delete-database", "--yes"],
    "mdb-recreate-db": lambda _: ["recreate-database", "--roles", "--yes"],
    "mdb-clear-messages": lambda _: ["clear", "--yes"],
    "mdb-update-db": lambda _: ["upgrade"],
    "mdb-install-functions": lambda _: ["upgrade"],
    "mdb-install-indexes": lambda _: ["upgrade"],
    "mdb-install-views": lambda _: ["upgrade"],
    "mdb-install-privileges": lambda _: ["upgrade", "--roles"],
    "mdb-print-messages": _print_messages,
    "mdb-print-stream-summary": _report("stream", "stream", "STREAM_NAME"),
    "mdb-print-type-summary": _report("type", "type", "TYPE"),
    "mdb-print-stream-type-summary": _report("stream-type", "stream", "STREAM_NAME"),
    "mdb-print-type-stream-summary": _report("type-stream", "type", "TYPE"),
    "mdb-print-category-type-summary": _report("category-type", "category", "CATEGORY"),
    "mdb-print-type-category-summary": _report("type-category", "type", "TYPE"),
    "mdb-print-message-store-version": lambda _: ["version"],
    "mdb-write-test-message": _write,
}
"""By old name, the arguments of `mdb`, from the environment variables that the tool knows."""

_WITHOUT_USER = (
    "mdb-clear-",
    "mdb-create-",
    "mdb-delete-",
    "mdb-recreate-",
    "mdb-install-",
    "mdb-update-",
)


def main() -> None:
    """Run the tool under whose name this was called; the entry point of all of them.

    They take no arguments, but environment variables, and those of libpq.
    """
    prepare_streams()
    name = Path(sys.argv[0]).stem
    if name == "mdb-print-database-scripts-dir":
        output.print("There is no folder of scripts. `mdb upgrade` installs the store, and")
        output.print("`mdb upgrade --sql` prints the whole script for psql.")
        return
    arguments = OLD_NAMES[name](os.environ)
    errors.print(f"{name} is now: {shlex.join(['mdb', *arguments])}")
    if len(sys.argv) > 1:
        fail(f"{name} takes no arguments, but environment variables: {shlex.join(sys.argv[1:])}")
    command, *rest = arguments
    url = _url(os.environ, with_user=not name.startswith(_WITHOUT_USER))
    for _ in range(_instances(os.environ) if command == "write" else 1):
        try:
            mdb([command, f"--url={url}", *rest])
        except SystemExit as ended:
            if ended.code:
                raise


def _url(environment: _Environment, with_user: bool) -> str:
    # The rest is libpq's own: PGHOST, PGPORT, PGPASSWORD and so on.
    user = environment.get("DATABASE_USER", _DEFAULT) if with_user else None
    database = environment.get("DATABASE_NAME", _DEFAULT)
    url = URL.create("postgresql", username=user, database=database)
    return url.render_as_string(hide_password=False)


def _instances(environment: _Environment) -> int:
    text = environment.get("INSTANCES", "1")
    if not text.isdecimal() or int(text) < 1:
        fail(f"INSTANCES must be a number from 1 on: {text!r}")
    return int(text)
