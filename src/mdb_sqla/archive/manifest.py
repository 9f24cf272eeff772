"""The manifest of an archive file: what is in it, and its checksum.

It is a small JSON file next to the data file, written after it. A data file without a manifest is
unfinished: its messages were not deleted.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from urllib.parse import quote

from mdb_sqla.archive.file_formats import FORMATS, line_blocks, number_of_messages
from mdb_sqla.errors import ArchiveError, MessageStoreError

__all__ = ["SUFFIX", "ArchiveFile", "category_folder", "check", "checked_blocks", "parse"]

SUFFIX = ".manifest.json"
VERSION = 1

_LONGEST = 200  # characters of a folder's name


@dataclass(frozen=True)
class ArchiveFile:
    """A file of archived messages, as described by its manifest.

    Attributes:
        path: the path of the data file in the archive.
        category: the category of the messages.
        format: `jsonl` (gzipped JSON lines, as exported) or `parquet`.
        messages: the number of messages.
        first_global_position: the first of their global positions.
        last_global_position: the last of their global positions.
        first_time: the earliest of their times, as exported.
        last_time: the latest of their times.
        size: the size of the file, in bytes.
        sha256: the checksum of the file, in hexadecimal.
        written_at: when the file was written, in UTC.
        version: the version of the manifest's format.
    """

    path: str
    category: str
    format: str
    messages: int
    first_global_position: int
    last_global_position: int
    first_time: str
    last_time: str
    size: int
    sha256: str
    written_at: datetime
    version: int = VERSION

    @property
    def content(self) -> bytes:
        """The content of the manifest."""
        values = asdict(self) | {"written_at": self.written_at.isoformat()}
        return (json.dumps(values, ensure_ascii=False, indent=2) + "\n").encode()


def parse(path: str, content: bytes) -> ArchiveFile:
    """Return the file that a manifest describes.

    Args:
        path: the path of the manifest in the archive.
        content: its content.

    Raises:
        ArchiveError: it is not a manifest, or of a later version.
    """
    try:
        values: dict[str, Any] = json.loads(content)
        version = values["version"]
        if version != VERSION:
            raise ArchiveError(f"{path} has version {version!r}; this version reads {VERSION}")
        found = ArchiveFile(**values | {"written_at": datetime.fromisoformat(values["written_at"])})
        if found.written_at.tzinfo is None:
            raise ValueError("written_at has no time zone")
        for field in fields(found):
            value = getattr(found, field.name)
            if type(value).__name__ != field.type:
                raise TypeError(f"{field.name} is {value!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveError(f"{path} is not a manifest: {type(error).__name__}: {error}") from error
    if found.format not in FORMATS:
        raise ArchiveError(f"{path} has the unknown format {found.format!r}")
    if found.path + SUFFIX != path:
        raise ArchiveError(f"{path} describes another file, {found.path}")
    return found


def check(file: ArchiveFile, content: bytes) -> None:
    """Check that the content of a file is what its manifest says.

    Raises:
        ArchiveError: the size, the checksum or the number of messages is another one.
        InvalidArgument: a package that the format needs is missing.
    """
    _check_bytes(file, content)
    with _decoding(file):
        _check_number(file, number_of_messages(file.format, content))


def checked_blocks(file: ArchiveFile, content: bytes) -> Iterator[list[bytes]]:
    """Yield the messages of a file as exported lines, in blocks of some megabytes.

    Raises:
        ArchiveError: as in `check`. Only a wrong number of messages is raised at the end.
        InvalidArgument: a package that the format needs is missing.
    """
    _check_bytes(file, content)
    number = 0
    with _decoding(file):
        for block in line_blocks(file.format, content):
            number += len(block)
            yield block
    _check_number(file, number)


def _check_bytes(file: ArchiveFile, content: bytes) -> None:
    if len(content) != file.size:
        raise ArchiveError(f"{file.path} has {len(content):,} bytes instead of {file.size:,}")
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != file.sha256:
        raise ArchiveError(f"{file.path} has checksum {checksum} instead of {file.sha256}")


def _check_number(file: ArchiveFile, number: int) -> None:
    if number != file.messages:
        raise ArchiveError(f"{file.path} has {number:,} messages instead of {file.messages:,}")


@contextmanager
def _decoding(file: ArchiveFile) -> Iterator[None]:
    try:
        yield
    except MessageStoreError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ArchiveError(f"{file.path} can't be decoded: {error}") from error


def category_folder(category: str) -> str:
    """Return the name of the folder with the files of a category."""
    name = quote(category, safe="")
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}-{hashlib.sha256(category.encode()).hexdigest()[:16]}"
    return f"category={name}"
