"""The retention job archives each batch, and deletes only what is in the archive."""

from __future__ import annotations

import asyncio
import gzip
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import ArchiveError, InvalidArgument, admin, archive, retention, tables
from mdb_sqla.archive import batch_writer
from mdb_sqla.archive.location import Location
from mdb_sqla.host.retention_task import RetentionTask
from mdb_sqla.retention.job import Job
from tests.archive.conftest import DAY, ArchivedStore, Place


def test_each_batch_is_a_file(store: ArchivedStore, place: Place) -> None:
    store.write("order-1", 5, days=9)
    store.write("order-2", 2)
    assert store.archive(place, batch_size=2) == 5
    assert store.left() == [("order-2", 0), ("order-2", 1)]
    found = archive.files(place.url)
    assert [(file.first_global_position, file.messages) for file in found] == [
        (1, 2),
        (3, 2),
        (5, 1),
    ]
    assert len(place.paths()) == 6
    assert archive.verify(place.url) == []
    assert store.is_sound()


def test_the_log_names_the_archive(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 3, days=9)
    store.archive(folder, batch_size=2)
    store.write("order-1", 1, days=9)
    store.archive(folder, archive=None)
    log = [row[5:8] for row in store.rows(tables.deletions)]
    assert log == [
        (f"retention policy: keep for 1 d; archive to {folder.url}", folder.url, 3),
        ("retention policy: keep for 1 d", None, 1),
    ]


def test_a_policy_that_changes_during_a_run(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 5, days=9)
    store.policy("order", keep_age=DAY)
    job = Job(batch_size=2)
    while not job.is_done:
        with store.engine.begin() as connection:
            job.step(connection)
        if len(store.left()) == 3:
            store.policy("order", keep_age=DAY, archive=folder.url)
    log = [row[6:10] for row in store.rows(tables.deletions)]
    assert log == [(None, 2, 1, 2), (folder.url, 3, 3, 5)]


def test_an_archive_that_fails_holds_back_its_category_only(
    store: ArchivedStore, folder: Place
) -> None:
    for category in ("a", "b", "c"):
        store.write(f"{category}-1", 2, days=9)
    store.policy("a", keep_age=DAY, archive="/nowhere/a")
    store.policy("b", keep_age=DAY, archive=folder.url)
    store.policy("c", keep_age=DAY, archive="/nowhere/c")

    with pytest.raises(ArchiveError, match="/nowhere/a") as refused:
        retention.run(store.engine)

    assert [note for note in refused.value.__notes__ if "/nowhere/c" in note]
    assert {name for name, _ in store.left()} == {"a-1", "c-1"}
    assert archive.verify(folder.url) == []
    assert store.is_sound()


def test_a_dry_run_writes_nothing(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 3, days=9)
    store.policy("order", keep_age=DAY, archive=folder.url)
    (planned,) = retention.plan(store.engine)
    assert (planned.messages, folder.paths()) == (3, [])


@pytest.mark.parametrize("where", ["nowhere", "file"])
def test_a_folder_that_cannot_be_written(store: ArchivedStore, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    store.write("order-1", 3, days=9)
    path = tmp_path / where
    with pytest.raises(ArchiveError, match=f"Can't write {path}/.*: there is no folder {path}"):
        store.archive(Place(str(path)))
    assert len(store.left()) == 3
    assert store.rows(tables.deletions) == []


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_does_not_exist(store: ArchivedStore) -> None:
    store.write("order-1", 3, days=9)
    with pytest.raises(ArchiveError, match=r"s3://nowhere/.*: The specified bucket does not exist"):
        store.archive(Place("s3://nowhere/events"))
    assert len(store.left()) == 3


def test_a_file_that_is_not_read_back_as_it_was_written(
    store: ArchivedStore, folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_less(self: Location, path: str, content: bytes) -> None:
        written(self, path, content[:-1])

    written = Location.write
    monkeypatch.setattr(Location, "write", write_less)
    store.write("order-1", 3, days=9)
    with pytest.raises(ArchiveError, match="was not read back as it was written"):
        store.archive(folder)
    assert len(store.left()) == 3
    assert [problem.is_damage for problem in archive.verify(folder.url)] == [False]


ERASE = "UPDATE message_store.messages SET data = '\"erased\"' WHERE position = 1"


@contextmanager
def failing(store: ArchivedStore) -> Iterator[None]:
    """Let every deletion fail when it is logged, after its file is written."""
    store.execute(
        "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RAISE EXCEPTION ''no''; END'"
    )
    store.execute(
        "CREATE TRIGGER fail BEFORE INSERT ON message_store.deletions "
        "EXECUTE FUNCTION public.fail()"
    )
    yield
    store.execute("DROP TRIGGER fail ON message_store.deletions")


def test_killed_after_a_file_is_written(store: ArchivedStore, place: Place) -> None:
    store.write("order-1", 5, days=9)
    before = store.exported()
    with failing(store), pytest.raises(Exception, match="no"):
        store.archive(place, batch_size=3)
    assert store.exported() == before
    assert [file.messages for file in archive.files(place.url)] == [3]

    store.archive(place, batch_size=2)
    assert [file.messages for file in archive.files(place.url)] == [3, 2, 2, 1]
    assert archive.verify(place.url) == []
    assert store.restore(place) == {"order": (5, 3)}
    assert store.exported() == before
    assert store.is_sound()


def test_two_jobs_at_once(store: ArchivedStore, folder: Place) -> None:
    for number in range(20):
        store.write(f"order-{number}", 5, days=9)
    before = store.exported()
    store.policy("order", keep_age=DAY, archive=folder.url)
    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(retention.run, store.engine, batch_size=3) for _ in range(2)]
        deleted = [run.result()[0].messages for run in runs]
    assert sum(deleted) == 100
    assert sum(file.messages for file in archive.files(folder.url)) == 100
    assert store.restore(folder) == {"order": (100, 0)}
    assert store.exported() == before


def test_messages_that_are_changed_meanwhile_are_archived_as_they_are(
    store: ArchivedStore, folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is deleted that is not in the archive as it was then."""
    erased = threading.Event()

    def erase_then_write(*arguments: Any) -> None:
        if not erased.is_set():
            erased.set()
            store.execute(
                "UPDATE message_store.messages SET data = '\"erased\"' WHERE position = 1"
            )
        write(*arguments)

    write = batch_writer._write
    monkeypatch.setattr(batch_writer, "_write", erase_then_write)
    store.write("order-1", 2, days=9)
    store.archive(folder)
    assert store.left() == []
    store.restore(folder)
    assert store.value("SELECT data FROM message_store.messages WHERE position = 1") == "erased"


def test_nobody_waits_for_a_file(
    store: ArchivedStore, folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers would wait for a change of the lock granularity that waits for the file."""

    def change_then_write(*arguments: Any) -> None:
        admin.set_lock_granularity(store.engine, "stream", wait=2)
        store.write("order-1", 1)
        changed.append(True)
        write(*arguments)

    changed: list[bool] = []
    write = batch_writer._write
    monkeypatch.setattr(batch_writer, "_write", change_then_write)
    store.write("order-1", 2, days=9)
    assert store.archive(folder) == 2
    assert changed == [True]
    assert store.left() == [("order-1", 2)]


def test_large_messages_fill_several_files(
    store: ArchivedStore, folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.execute("ALTER TABLE message_store.messages ALTER data SET STORAGE EXTERNAL")
    try:
        store.insert("order-1", *[(f'"{character * 30_000_000}"', None) for character in "abc"])
    finally:
        store.execute("ALTER TABLE message_store.messages ALTER data SET STORAGE EXTENDED")
    store.insert("order-1", ("1", None))
    assert store.archive(folder) == 4
    assert [file.messages for file in archive.files(folder.url)] == [2, 2]
    assert store.left() == []
    assert store.restore(folder) == {"order": (4, 0)}
    assert store.is_sound()


def test_an_async_engine(store: ArchivedStore, place: Place) -> None:
    """Files are written in threads: the loop is not blocked."""
    store.write("order-1", 3, days=9)
    before = store.exported()
    store.policy("order", keep_age=DAY, archive=place.url)
    in_loop = []

    async def run() -> None:
        engine = create_async_engine(store.engine.url.set(drivername="postgresql+asyncpg"))
        loop_thread = threading.get_ident()
        write = Location.write

        def observed(self: Location, path: str, content: bytes) -> None:
            in_loop.append(threading.get_ident() == loop_thread)
            write(self, path, content)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Location, "write", observed)
            await retention.run_async(engine)
        await engine.dispose()

    asyncio.run(run())
    assert in_loop == [False, False]
    assert store.left() == []
    store.restore(place)
    assert store.exported() == before


def test_the_task_of_a_host(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 3, days=9)
    store.policy("order", keep_age=DAY, archive=folder.url)
    task = RetentionTask(3_600.0, [])
    job = task._job
    done = threading.Event()

    def stopping() -> Iterator[Any]:
        yield from job()
        done.set()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as threads:
        patch.setattr(task, "_job", stopping)
        running = threads.submit(task.run, store.factory)
        assert done.wait(30)
        task.stop()
        running.result()
    (path,) = folder.data_files()
    assert gzip.decompress(folder.location.read(path)).count(b"\n") == 3
    assert store.left() == []


def test_without_pyarrow(
    store: ArchivedStore, folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    store.write("order-1", 3, days=9)
    with pytest.raises(InvalidArgument, match=re.escape("mdb_sqla[parquet]")):
        store.archive(folder, archive_format="parquet")
    assert len(store.left()) == 3


def test_without_fsspec(
    store: ArchivedStore, folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    store.write("order-1", 3, days=9)
    with pytest.raises(InvalidArgument, match=re.escape("mdb_sqla[archive]")):
        store.archive(folder)
    assert len(store.left()) == 3
