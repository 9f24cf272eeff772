"""Commands that list, verify and restore archives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.progress import Progress, TaskID, TextColumn
from sqlalchemy import Engine

from mdb_sqla import archive, retention
from mdb_sqla.archive import ArchiveFile, Restored
from mdb_sqla.cli.interruption import interruptible
from mdb_sqla.cli.listing import print_paragraph, print_table
from mdb_sqla.cli.options import FAILED, Schema, Url, connected, errors, output
from mdb_sqla.cli.printing import Json, print_json, shown
from mdb_sqla.cli.quantities import plural
from mdb_sqla.database.error_translation import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["list_files", "restore", "verify"]

Archive = Annotated[
    str,
    typer.Argument(metavar="ARCHIVE", help="A folder, or a URL such as s3://bucket/folder."),
]
Categories = Annotated[
    list[str] | None,
    typer.Option(
        "--category", metavar="CATEGORY", help="Only this category; repeatable.", show_default=False
    ),
]


def list_files(location: Archive, category: Categories = None, as_json: Json = False) -> None:
    """List the files of an archive.

    Example: mdb archive list s3://shop/events
    """
    found = archive.files(location, categories=category or [])
    if as_json:
        print_json([asdict(file) for file in found])
    elif found:
        rows = [_row(file) for file in found]
        headers = ["category", "file", "global positions"]
        print_table(output, headers, rows, numbers=["messages", "bytes"])
    else:
        errors.print("No archived messages.")


def verify(location: Archive, category: Categories = None, as_json: Json = False) -> None:
    """Check the files of an archive against their checksums.

    Reads all of them. Exits with status 1 if one is damaged or missing. A file without a manifest
    is left by a run that was interrupted: its messages were not deleted.

    Example: mdb archive verify s3://shop/events
    """
    with _progress("Verified") as done, interruptible():
        problems = archive.verify(location, categories=category or [], on_file=done.add)
    if as_json:
        print_json(
            {
                "files": done.files,
                "messages": done.messages,
                "problems": [asdict(problem) for problem in problems],
            }
        )
    else:
        for problem in problems:
            print_paragraph(output, shown(f"{problem.path}: {problem.text}"), indent="")
        output.print(f"Verified {done.text}.")
    if any(problem.is_damage for problem in problems):
        raise typer.Exit(FAILED)


def restore(
    location: Archive,
    url: Url = None,
    category: Categories = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Put archived messages back at their original positions.

    All of them or none, in one transaction. Messages that are stored are skipped. Consumers that
    have handled the messages do not handle them again.

    Example: mdb archive restore s3://shop/events --category order
    """
    with connected(url, schema) as engine:
        with _progress("Restored") as done, interruptible("Nothing was restored."):
            found = archive.restore(engine, location, categories=category or [], on_file=done.add)
        if as_json:
            print_json([asdict(each) for each in found])
            return
        for each in found:
            _print_restored(each)
        if not found:
            errors.print("No archived messages.")
        _print_policies(engine, {each.category for each in found if each.messages})


def _print_restored(restored: Restored) -> None:
    text = f"{restored.category}: restored {plural(restored.messages, 'message')}"
    if restored.stored:
        text += f"; {restored.stored:,} were stored"
    print_paragraph(output, shown(text), indent="")


def _print_policies(engine: Engine, categories: set[str]) -> None:
    """Print which messages the retention job deletes again."""
    with translated(), engine.connect() as connection:
        policies = retention.policies(connection)
    for policy in policies:
        if policy.category in categories:
            text = (
                f"The retention policy of {policy.category} deletes them again unless it keeps "
                f"them: keep {policy}."
            )
            print_paragraph(errors, shown(text), indent="")


def _row(file: ArchiveFile) -> list[str]:
    return [
        shown(file.category),
        shown(file.path),
        f"{file.first_global_position:,} to {file.last_global_position:,}",
        f"{file.messages:,}",
        f"{file.size:,}",
    ]


class _Done:
    """The files that were handled so far."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self.files = 0
        self.messages = 0

    def add(self, file: ArchiveFile) -> None:
        self.files += 1
        self.messages += file.messages
        self._progress.update(self._task, done=self.text)

    @property
    def text(self) -> str:
        return f"{plural(self.messages, 'message')} in {plural(self.files, 'file')}"


@contextmanager
def _progress(verb: str) -> Iterator[_Done]:
    """Show what was done so far if stderr is a terminal."""
    column = TextColumn("{task.description} {task.fields[done]}")
    with Progress(column, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        yield _Done(bar, bar.add_task(verb, total=None, done=""))
