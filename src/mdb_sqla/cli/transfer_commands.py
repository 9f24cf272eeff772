"""Commands that carry messages from one store to another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mdb_sqla.cli.message_commands import Name, Position
from mdb_sqla.cli.options import Schema, Url, connected, errors, fail, opened
from mdb_sqla.cli.printing import binary_output
from mdb_sqla.errors import StoreRewound
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.transfer.message_export import export, go_on
from mdb_sqla.transfer.message_import import Imported, import_lines
from mdb_sqla.transfer.raw_reads import RawReader

__all__ = ["export_messages", "import_messages"]


def export_messages(
    url: Url,
    name: Name = None,
    position: Position = None,
    file: Annotated[
        Path | None,
        typer.Option(
            allow_dash=True,
            help="Where to write to; one that is there already is gone on with. - for stdout.",
        ),
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Write the messages that there are now as JSON lines, to stdout or a file.

    Example: mdb export account > account.jsonl

    Example: mdb export --file all.jsonl
    """
    if str(file) == "-":
        file = None
    if file is not None and position is not None:
        fail("With --file, an export begins where the file ends: leave --position out.")
    reader = RawReader(name, position)
    target = binary_output() if file is None else go_on(file, reader)
    with (
        connected(url, schema) as engine,
        target as output,
        _progress("Exported") as bar,
        engine.connect() as connection,
    ):
        number, begin = 0, reader.position
        bar.expect(reader.end(connection) + 1 - begin)
        try:
            for batch in export(connection, reader):
                connection.commit()
                output.write("".join([message.line for message in batch]).encode())
                number += len(batch)
                bar.show(number, reader.position - begin)
        except StoreRewound as error:
            fail(f"{error}. Export to another file, from the beginning.")
        output.flush()


def import_messages(
    url: Url,
    file: Annotated[Path, typer.Argument(allow_dash=True, help="What was exported; - for stdin.")],
    new_positions: Annotated[
        bool,
        typer.Option(
            "--new-positions",
            help="Let the rest come last where others wrote after an import was interrupted.",
        ),
    ] = False,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Write messages that were exported; those that are stored already are left out.

    In an empty store they are as they were, global positions too; in any other they come last. An
    import that was interrupted goes on when it is run again.

    Example: mdb import account.jsonl
    """
    with (
        connected(url, schema, writes=True) as engine,
        opened(file) as lines,
        _progress("Imported") as bar,
        engine.connect() as connection,
    ):
        if str(file) != "-":
            bar.expect(file.stat().st_size)
        read = _Counted(lines)

        def show(imported: Imported) -> None:
            bar.show(imported.written + imported.stored, read.size)

        done = import_lines(connection, read, show, new_positions=new_positions)
    errors.print(_in_words(done))


def _in_words(done: Imported) -> str:
    how = {None: "", True: ", as they were", False: ", at new global positions"}[done.is_exact]
    return f"Written: {done.written:,}{how}. Stored already: {done.stored:,}."


class _Counted:
    """Lines, and how many bytes of them were read."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.size += len(line)
            yield line


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._begin = time.monotonic()
        self.number = 0

    def expect(self, total: int) -> None:
        self._progress.update(self._task, total=max(total, 0))

    def show(self, number: int, completed: int) -> None:
        self.number = number
        self._progress.update(self._task, completed=completed, done=self.in_words)

    @property
    def in_words(self) -> str:
        rate = self.number / max(time.monotonic() - self._begin, 1e-3)
        return f"{self.number:,} message{'s' * (self.number != 1)}, {rate:,.0f} a second"


@contextmanager
def _progress(done: str) -> Iterator[_Bar]:
    """Show a bar on stderr where that is a terminal, and what was done in the end."""
    columns = (BarColumn(), TextColumn("{task.fields[done]}"), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bars:
        bar = _Bar(bars, bars.add_task(done, total=None, done=""))
        yield bar
    errors.print(f"{done} {bar.in_words}.")
