"""Files that are damaged, missing or unfinished."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mdb_sqla import ArchiveError, InvalidArgument, archive
from mdb_sqla.archive import ArchiveProblem
from tests.archive.conftest import ArchivedStore, Place
from tests.archive.test_restore import replace


@pytest.fixture
def two(store: ArchivedStore, place: Place) -> Place:
    """An archive with a file of each of two categories."""
    store.write("order-1", 3, days=9)
    store.write("account-1", 2, days=9)
    store.archive(place, "order")
    store.archive(place, "account", archive_format="parquet")
    return place


def test_all_is_well(two: Place) -> None:
    seen: list[str] = []
    assert archive.verify(two.url, on_file=lambda file: seen.append(file.category)) == []
    assert seen == ["account", "order"]
    (file,) = archive.files(two.url, categories=["order"])
    assert (file.category, file.messages) == ("order", 3)
    with pytest.raises(InvalidArgument, match="The archive has no messages of category other"):
        archive.verify(two.url, categories=["order", "other"])


def test_a_file_that_is_shorter(two: Place) -> None:
    _, path = two.data_files()
    replace(two, path, two.location.read(path)[:-1])
    (problem,) = archive.verify(two.url)
    assert problem.path == path
    assert problem.text.startswith("has ")
    assert "bytes instead of" in problem.text
    assert problem.is_damage
    assert archive.verify(two.url, categories=["account"]) == []


def test_a_file_that_is_missing(two: Place) -> None:
    path, _ = two.data_files()
    two.location._files.rm_file(two.location._full(path))
    assert archive.verify(two.url) == [ArchiveProblem(path, "is missing")]


def test_a_file_without_a_manifest(two: Place) -> None:
    path, _ = two.data_files()
    two.location._files.rm_file(two.location._full(f"{path}.manifest.json"))
    (problem,) = archive.verify(two.url)
    assert (problem.path, problem.is_damage) == (path, False)
    assert [file.category for file in archive.files(two.url)] == ["order"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": 2}, "has version 2; this version reads 1"),
        ({"format": "csv"}, "has the unknown format 'csv'"),
        ({"messages": "3"}, "messages is '3'"),
        ({"written_at": "yesterday"}, "Invalid isoformat string"),
        ({"written_at": "2020-01-01T00:00:00"}, "written_at has no time zone"),
        ({"path": "../x"}, "describes another file, ../x"),
        ({"more": 1}, "unexpected keyword argument 'more'"),
        (None, "is not a manifest: JSONDecodeError"),
        ([], "is not a manifest: TypeError"),
    ],
)
def test_a_damaged_manifest(store: ArchivedStore, folder: Place, change: Any, text: str) -> None:
    store.write("order-1", 3, days=9)
    store.archive(folder)
    (path,) = folder.paths(".manifest.json")
    values = json.loads(folder.location.read(path))
    changed = {**values, **change} if isinstance(change, dict) else change
    replace(folder, path, b"{" if change is None else json.dumps(changed).encode())

    (problem,) = archive.verify(folder.url)
    assert (problem.path, problem.is_damage) == (path, True)
    assert text in problem.text
    with pytest.raises(ArchiveError, match="manifest"):
        store.restore(folder)
    with pytest.raises(ArchiveError, match="manifest"):
        store.restore(folder, "order")
    assert store.left() == []


def test_a_file_with_another_number_of_messages(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 3, days=9)
    store.archive(folder)
    (path,) = folder.paths(".manifest.json")
    changed = {**json.loads(folder.location.read(path)), "messages": 4}
    replace(folder, path, json.dumps(changed).encode())
    (problem,) = archive.verify(folder.url)
    assert problem.text == "has 3 messages instead of 4"
    with pytest.raises(ArchiveError, match="has 3 messages instead of 4"):
        store.restore(folder)
    assert store.left() == []
