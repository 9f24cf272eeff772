"""Lists and checks the files of an archive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mdb_sqla.archive.location import Location
from mdb_sqla.archive.manifest import SUFFIX, ArchiveFile, category_folder, check, parse
from mdb_sqla.errors import ArchiveError, InvalidArgument
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.stream_name import category_name

__all__ = ["ArchiveProblem", "files", "files_in", "verify"]

_AT_ONCE = 200  # manifests


@dataclass(frozen=True)
class ArchiveProblem:
    """A file of an archive that is damaged, missing or unfinished.

    Attributes:
        path: the path of the file in the archive.
        text: the problem, in words.
        is_damage: whether archived messages can't be restored. An unfinished file is no damage: its
            messages were not deleted.
    """

    path: str
    text: str
    is_damage: bool = True


def files(url: str, *, categories: Iterable[str] = ()) -> list[ArchiveFile]:
    """Return the files of an archive, by category and in the order in which they were written.

    Only the manifests are read.

    Args:
        url: an absolute path or a URL, as in `set_policy`.
        categories: the categories; by default all.

    Raises:
        ArchiveError: the archive can't be read, or a manifest is damaged.
        InvalidArgument: the URL is invalid, a category has no files, or a package that the file
            system needs is missing.
    """
    return files_in(Location(url), categories)


def verify(
    url: str,
    *,
    categories: Iterable[str] = (),
    on_file: Callable[[ArchiveFile], object] | None = None,
) -> list[ArchiveProblem]:
    """Read all files of an archive, and compare them with their manifests.

    Args:
        url: see `files`.
        categories: see `files`.
        on_file: called after each file.

    Returns:
        The problems: damaged manifests, files that are missing, have another checksum or another
        number of messages, and files without a manifest.

    Raises:
        ArchiveError: the archive can't be listed.
        InvalidArgument: see `files`.
    """
    location = Location(url)
    paths, found, problems = _manifests(location, categories)
    for path in sorted(paths):
        if not path.endswith(SUFFIX) and path + SUFFIX not in paths:
            text = "has no manifest: it is unfinished, and its messages were not deleted"
            problems.append(ArchiveProblem(path, text, is_damage=False))
    for file in found:
        if file.path in paths:
            problems += _problems_of(location, file)
        else:
            problems.append(ArchiveProblem(file.path, "is missing"))
        if on_file is not None:
            on_file(file)
    return problems


def files_in(location: Location, categories: Iterable[str]) -> list[ArchiveFile]:
    """Return the files of an archive. See `files`."""
    _, found, problems = _manifests(location, categories)
    if problems:
        raise ArchiveError(f"{location.url}/{problems[0].path} {problems[0].text}")
    return found


def _manifests(
    location: Location, categories: Iterable[str]
) -> tuple[set[str], list[ArchiveFile], list[ArchiveProblem]]:
    """Return the paths of all files, the files with manifests, and damaged manifests."""
    if isinstance(categories, str):
        raise InvalidArgument(f"categories must be a list of names, got {described(categories)}")
    chosen = {category_name(category) for category in categories}
    folders = [category_folder(category) for category in sorted(chosen)] or [""]
    paths = {path for folder in folders for path in location.find(folder)}
    manifests = sorted(path for path in paths if path.endswith(SUFFIX))
    found: list[ArchiveFile] = []
    problems: list[ArchiveProblem] = []
    for start in range(0, len(manifests), _AT_ONCE):
        some = manifests[start : start + _AT_ONCE]
        for path, content in zip(some, location.read_all(some), strict=True):
            try:
                found.append(parse(path, content))
            except ArchiveError as error:
                problems.append(ArchiveProblem(path, str(error).removeprefix(path).lstrip()))
    if missing := chosen - {file.category for file in found} - (chosen if problems else set()):
        raise InvalidArgument(f"The archive has no messages of category {min(missing)}")
    found.sort(key=lambda file: (file.category, file.written_at, file.first_global_position))
    return paths, found, problems


def _problems_of(location: Location, file: ArchiveFile) -> list[ArchiveProblem]:
    try:
        check(file, location.read(file.path))
    except ArchiveError as error:
        return [ArchiveProblem(file.path, str(error).removeprefix(file.path).lstrip())]
    return []
