"""Commands that export and import messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from sqlalchemy import Connection

from mdb_sqla.cli.interruption import interruptible
from mdb_sqla.cli.message_commands import Name, Position, show_deleted
from mdb_sqla.cli.message_progress import progress
from mdb_sqla.cli.options import ReadFrom, Schema, Url, connected, errors, fail, opened, refuse
from mdb_sqla.cli.printing import binary_output
from mdb_sqla.cli.quantities import plural
from mdb_sqla.errors import StoreRewound
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.transfer.message_export import export, open_export
from mdb_sqla.transfer.message_import import Imported, import_lines
from mdb_sqla.transfer.raw_reads import RawReader

__all__ = ["export_messages", "import_messages"]


def export_messages(
    url: Url = None,
    name: Name = None,
    position: Position = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            allow_dash=True,
            help="Output file; an existing export is resumed. - for stdout.",
        ),
    ] = None,
    read_from: ReadFrom = None,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Export messages as JSON lines, to stdout or a file.

    Example: mdb export account > account.jsonl

    Example: mdb export --file all.jsonl
    """
    if str(file) == "-":
        file = None
    if file is not None and position is not None:
        refuse("--file can't be combined with --position: the export resumes where the file ends.")
    reader = RawReader(name, position, on_deleted=show_deleted)
    target = binary_output() if file is None else open_export(file, reader)
    with (
        connected(url, schema) as engine,
        target as output,
        progress("Exported") as bar,
        engine.connect() as connection,
        _standby(read_from, schema) as standby,
    ):
        begin = written_to = reader.position

        def advice() -> str:
            how = "the same command again" if file else f"it again with --position {written_to}"
            return f"Exported {plural(bar.number, 'message')}. To resume, run {how}."

        bar.expect(reader.end(connection) + 1 - begin)
        try:
            with interruptible(advice):
                for batch in export(connection, reader, read_from=standby):
                    connection.commit()
                    output.write("".join([message.line for message in batch]).encode())
                    written_to = reader.position
                    bar.show(bar.number + len(batch), written_to - begin)
                output.flush()
        except StoreRewound as error:
            fail(f"{error}. Export again to a new file.")


@contextmanager
def _standby(url: str | None, schema: str) -> Iterator[Connection | None]:
    if url is None:
        yield None
        return
    with connected(url, schema) as engine, engine.connect() as connection:
        yield connection


def import_messages(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", allow_dash=True, help="From mdb export; - for stdin."),
    ],
    url: Url = None,
    new_positions: Annotated[
        bool,
        typer.Option(
            "--new-positions",
            help="Resume an interrupted import at new positions if others wrote in the meantime.",
        ),
    ] = False,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Import exported messages, skipping those already stored.

    An empty store keeps the exported global positions; any other appends the messages at new ones.
    Run it again to resume an interrupted import.

    Example: mdb import account.jsonl
    """
    with (
        connected(url, schema, writes=True) as engine,
        opened(file) as lines,
        progress("Imported") as bar,
        engine.connect() as connection,
    ):
        if str(file) != "-":
            bar.expect(file.stat().st_size)
        read = _ByteCounter(lines)

        def show(imported: Imported) -> None:
            bar.show(imported.written + imported.stored, read.size)

        def advice() -> str:
            done = f"Imported {plural(bar.number, 'message')}"
            return f"{done}. To resume, run the same command again."

        with interruptible(advice):
            imported = import_lines(connection, read, show, new_positions=new_positions)
    errors.print(_result(imported))


def _result(imported: Imported) -> str:
    how = {None: "", True: " at their original positions", False: " at new global positions"}
    return f"Written{how[imported.is_exact]}: {imported.written:,}. Skipped: {imported.stored:,}."


class _ByteCounter:
    """Iterates over lines and counts their bytes."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.size += len(line)
            yield line
