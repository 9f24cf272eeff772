"""The files of an archive, in any file system of fsspec."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path
from typing import Any

from mdb_sqla.archive.archive_url import archive_url
from mdb_sqla.errors import ArchiveError, InvalidArgument

__all__ = ["Location"]


class Location:
    """A folder of files, which are named by their paths in it.

    Args:
        url: an absolute path or a URL; see `archive_url`.

    Raises:
        InvalidArgument: the URL is invalid, or a package that its file system needs is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = archive_url(url)
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise InvalidArgument(
                'An archive requires the extra "archive": pip install "mdb_sqla[archive]"'
            ) from error
        try:
            self._files, self._root = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            # fsspec's text names the package to install, or the protocol that it does not know.
            raise InvalidArgument(f"Can't use the archive {self.url}: {error}") from error
        self._is_local = "file" in _protocols(self._files)

    def write(self, path: str, content: bytes) -> None:
        """Write a file, durably.

        Raises:
            ArchiveError: it can't be written.
        """
        with self._failures("write", path):
            full = self._full(path)
            if not self._is_local:
                self._files.pipe_file(full, content)
                return
            self._check_root()
            _write_durably(Path(full), content)

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            ArchiveError: it can't be read.
        """
        with self._failures("read", path):
            content: bytes = self._files.cat_file(self._full(path))
            return content

    def read_all(self, paths: list[str]) -> list[bytes]:
        """Return the contents of files, concurrently if the file system can.

        Raises:
            ArchiveError: one of them can't be read.
        """
        if not paths:
            return []
        full = [self._full(path) for path in paths]
        with self._failures("read", paths[0]):
            found: list[Any] = self._files.cat_ranges(
                full, [0] * len(full), [None] * len(full), on_error="return"
            )
        for path, content in zip(paths, found, strict=True):
            with self._failures("read", path):
                if isinstance(content, BaseException):
                    raise content
        return found

    def find(self, folder: str = "") -> list[str]:
        """Return the paths of all files below a folder.

        Raises:
            ArchiveError: the folder can't be listed.
        """
        with self._failures("list", folder):
            self._check_root()
            # Other processes write to it.
            self._files.invalidate_cache()
            top = self._full(folder) if folder else self._root
            found: list[str] = self._files.find(top)
        start = len(self._root.rstrip("/")) + 1
        return [path[start:] for path in found]

    def _full(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    def _check_root(self) -> None:
        # Not created: it may be on a disk that is not mounted.
        if self._is_local and not Path(self._root).is_dir():
            raise FileNotFoundError(ENOENT, f"there is no folder {self._root}")

    @contextmanager
    def _failures(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        # The errors of file systems have no common class.
        except Exception as error:
            where = f"{self.url}/{path}" if path else self.url
            reason = error.strerror if isinstance(error, OSError) else None
            reason = reason or str(error) or type(error).__name__
            raise ArchiveError(f"Can't {verb} {where}: {reason}") from error


def _protocols(files: Any) -> tuple[str, ...]:
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _write_durably(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if os.name == "posix":
        for folder in (path.parent, path.parent.parent):
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
