"""Message DB's command-line tools under their original names, which run `mdb` commands."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from sqlalchemy import URL

from mdb_sqla.cli import main as mdb
from mdb_sqla.cli.options import errors, output, prepare_streams, refuse

__all__ = ["OLD_NAMES", "main"]

_Environment = Mapping[str, str]
_DEFAULT = "message_store"  # the name of the database and of the user
_DATA = '{"attribute": "some value"}'
_METADATA = '{"metaAttribute": "some meta value"}'


def _report(name: str, filter_: str, variable: str) -> Callable[[_Environment], list[str]]:
    def arguments(environment: _Environment) -> list[str]:
        value = environment.get(variable)
        return ["report", name, *([f"--{filter_}={value}"] if value else [])]

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
        # The original expects an SQL literal.
        metadata = metadata.strip("'").replace("''", "'")
    metadata_option = [] if metadata.upper() == "NULL" else [f"--metadata={metadata}"]
    stream = environment.get("STREAM_NAME") or f"testStream-{uuid4()}"
    type_ = environment.get("TYPE") or "SomeType"
    return ["write", f"--data={_DATA}", *metadata_option, "--", stream, type_]


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
"""By old name: returns the arguments of `mdb` from the tool's environment variables."""

_WITHOUT_USER = (
    "mdb-clear-",
    "mdb-create-",
    "mdb-delete-",
    "mdb-recreate-",
    "mdb-install-",
    "mdb-update-",
)


def main() -> None:
    """Run the tool named by `sys.argv[0]`; the entry point of all of them.

    The tools are configured by environment variables, including libpq's, not by arguments.
    """
    prepare_streams()
    name = Path(sys.argv[0]).stem
    if name == "mdb-print-database-scripts-dir":
        output.print("There is no scripts directory. Run `mdb upgrade` to install the store,")
        output.print("or `mdb upgrade --sql` to print a psql script.")
        return
    arguments = OLD_NAMES[name](os.environ)
    errors.print(f"{name} is now: {shlex.join(['mdb', *arguments])}")
    if len(sys.argv) > 1:
        refuse(
            f"{name} takes no arguments, got {shlex.join(sys.argv[1:])}: "
            "set environment variables instead"
        )
    command, *rest = arguments
    url = _url(os.environ, with_user=not name.startswith(_WITHOUT_USER))
    for _ in range(_instances(os.environ) if command == "write" else 1):
        try:
            mdb([command, f"--url={url}", *rest])
        except SystemExit as error:
            if error.code:
                raise


def _url(environment: _Environment, with_user: bool) -> str:
    # libpq reads the rest: PGHOST, PGPORT, PGPASSWORD and so on.
    user = environment.get("DATABASE_USER", _DEFAULT) if with_user else None
    database = environment.get("DATABASE_NAME", _DEFAULT)
    url = URL.create("postgresql", username=user, database=database)
    return url.render_as_string(hide_password=False)


def _instances(environment: _Environment) -> int:
    text = environment.get("INSTANCES", "1")
    if not text.isdecimal() or int(text) < 1:
        refuse(f"INSTANCES must be an integer of at least 1, got {text!r}")
    return int(text)
