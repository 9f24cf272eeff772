"""Puts archived messages back into the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, bindparam, select

from mdb_sqla import functions
from mdb_sqla.archive.archive_files import files_in
from mdb_sqla.archive.location import Location
from mdb_sqla.archive.manifest import ArchiveFile, checked_blocks
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.words.argument_checks import instance

__all__ = ["Restored", "restore"]

_T = TypeVar("_T")

_RESTORE = select(functions.restore_messages(bindparam("category"), bindparam("lines")))
_FINISH = select(functions.finish_restore(bindparam("category")))


@dataclass
class Restored:
    """The messages of a category that were restored.

    Attributes:
        category: the category.
        messages: the number of messages that were restored.
        stored: the number of messages in the archive that were in the store. A message that is in
            several files counts several times.
    """

    category: str
    messages: int = 0
    stored: int = 0


def restore(
    engine: Engine,
    url: str,
    *,
    categories: Iterable[str] = (),
    on_file: Callable[[ArchiveFile], object] | None = None,
) -> list[Restored]:
    """Put the messages of an archive back, in one transaction.

    They get the same ids, positions, global positions and times. Messages that are stored are
    skipped, so it can be repeated; if a message is in several files, the newest one counts.

    Consumers that have handled the messages do not handle them again. A new consumer reads them.
    The retention job deletes them again, unless you change or delete the policy before.

    Args:
        engine: an engine that connects as the owner of the store.
        url: an absolute path or a URL, as in `set_policy`.
        categories: the categories; by default all.
        on_file: called after each file.

    Returns:
        The numbers of messages, by category.

    Raises:
        ArchiveError: the archive can't be read, or a file is damaged. Nothing was restored.
        RestoreRefused: the messages do not fit the store. Nothing was restored.
        InvalidArgument: the URL is invalid, a category has no files, or a package that the archive
            needs is missing.
        NotPermitted: the role is not the owner of the store.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    # Overrides the engine's level: AUTOCOMMIT would separate the files.
    engine = instance("engine", engine, Engine).execution_options(isolation_level="READ COMMITTED")
    location = Location(url)
    found = files_in(location, categories)
    results = []
    with translated(), engine.begin() as connection:
        for category, of_category in groupby(found, lambda file: file.category):
            result = Restored(category)
            # The newest first: what an older file has may have been erased since.
            newest_first = list(of_category)[::-1]
            for file, lines in _ahead(_blocks(location, newest_first)):
                if lines is not None:
                    _restore(connection, category, lines, result)
                elif on_file is not None:
                    on_file(file)
            execute(connection, _FINISH, {"category": category}, WRITES)
            results.append(result)
    return results


def _restore(
    connection: Connection, category: str, lines: Sequence[bytes], result: Restored
) -> None:
    parameters = {"category": category, "lines": b"".join(lines).decode()}
    number: int = execute(connection, _RESTORE, parameters, WRITES)[0][0]
    result.messages += number
    result.stored += len(lines) - number


def _blocks(
    location: Location, found: Iterable[ArchiveFile]
) -> Iterator[tuple[ArchiveFile, list[bytes] | None]]:
    """Yield blocks of lines with their file, and None at the end of each file."""
    for file in found:
        for block in checked_blocks(file, location.read(file.path)):
            yield file, block
        yield file, None


def _ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Get the next item in a thread, while the server is busy with the last one."""
    end: Any = object()
    with ThreadPoolExecutor(1) as executor:
        coming = executor.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = executor.submit(next, items, end)
            yield item
