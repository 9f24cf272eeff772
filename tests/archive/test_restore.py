"""A restore puts messages where they were, all or none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from mdb_sqla import (
    ArchiveError,
    Consumer,
    InvalidArgument,
    Message,
    MessagesDeleted,
    MessageStore,
    RestoreRefused,
    archive,
    tables,
)
from tests.archive.conftest import ArchivedStore, Place
from tests.waiting import wait_until

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def deleted(store: ArchivedStore) -> Any:
    return store.rows(tables.deleted_positions)


def remove(folder: Place, *numbers: int) -> None:
    """Remove files from the archive, by the order in which they were written."""
    found = archive.files(folder.url)
    for number in numbers:
        for suffix in ("", ".manifest.json"):
            folder.location._files.rm_file(f"{folder.url}/{found[number].path}{suffix}")


def test_messages_join_what_is_left(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 3, days=9)
    store.write("order-2", 2, days=9)
    store.write("order-1", 2)
    before = store.exported()
    store.archive(folder, batch_size=2)
    assert store.restore(folder) == {"order": (5, 0)}
    assert store.exported() == before
    assert store.is_sound()
    with store.engine.begin() as connection:
        MessageStore(connection).write("order-2", Message("T"), expected_version=1)
    assert store.left()[-1] == ("order-2", 2)


def test_the_newest_files_only(store: ArchivedStore, folder: Place) -> None:
    """What is still deleted stays known: by stream, and for readers."""
    store.write("order-1", 4, days=9)
    store.write("order-2", 2, days=9)
    store.write("order-1", 1)
    store.archive(folder, batch_size=2)
    remove(folder, 0)
    assert store.restore(folder) == {"order": (4, 0)}
    assert store.left()[0] == ("order-1", 2)
    assert store.rows(tables.stream_heads) == [("order-1", 1)]
    assert deleted(store) == [("order", 2, True)]
    assert store.is_sound()


def test_a_stream_that_is_still_gone(store: ArchivedStore, folder: Place) -> None:
    """Where its messages were is not known, so nothing is assumed."""
    store.write("order-1", 4, days=9)
    store.write("order-2", 2, days=9)
    store.archive(folder, batch_size=2)
    remove(folder, 0, 2)
    store.restore(folder)
    assert store.left() == [("order-1", 2), ("order-1", 3)]
    assert store.rows(tables.stream_heads) == [("order-1", 1), ("order-2", 1)]
    assert deleted(store) == [("order", 6, True)]
    assert store.is_sound()


@pytest.mark.parametrize(("missing", "text_"), [
    ((1,), "stream order-1: positions 2 to 3 are missing"),
    ((2,), "stream order-1: the messages up to position 5 are missing"),
])  # fmt: skip
def test_a_gap_is_refused(
    store: ArchivedStore, folder: Place, missing: tuple[int, ...], text_: str
) -> None:
    store.write("order-1", 6, days=9)
    store.archive(folder, batch_size=2)
    remove(folder, *missing)
    with pytest.raises(RestoreRefused, match=text_):
        store.restore(folder)
    assert store.left() == []
    assert store.rows(tables.stream_heads) == [("order-1", 5)]
    assert deleted(store) == [("order", 6, True)]


def test_a_gap_before_what_is_left_is_refused(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 4, days=9)
    store.write("order-1", 2)
    store.archive(folder, batch_size=2)
    remove(folder, 1)
    with pytest.raises(RestoreRefused, match="stream order-1: positions 2 to 3 are missing"):
        store.restore(folder)
    assert store.left() == [("order-1", 4), ("order-1", 5)]


def test_one_category_is_refused_and_none_is_restored(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 4, days=9)
    store.write("account-1", 2, days=9)
    store.archive(folder, "account")
    store.archive(folder, batch_size=2)
    remove(folder, 2)
    with pytest.raises(RestoreRefused):
        store.restore(folder)
    assert store.left() == []
    assert store.restore(folder, "account") == {"account": (2, 0)}
    assert store.is_sound()


def test_another_message_at_a_global_position(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 2, days=9)
    store.archive(folder)
    store.execute(
        "INSERT INTO message_store.messages (global_position, position, stream_name, type) "
        "VALUES (2, 0, 'other-1', 'T')"
    )
    with pytest.raises(RestoreRefused, match=r"Global Position: 2\): the store has another messag"):
        store.restore(folder)
    assert store.left() == [("other-1", 0)]


def test_another_store(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 2, days=9)
    store.archive(folder)
    store.execute("DELETE FROM message_store.stream_heads")
    with pytest.raises(RestoreRefused, match="this store has not deleted it"):
        store.restore(folder)
    store.execute("TRUNCATE message_store.deleted_positions")
    with pytest.raises(RestoreRefused, match="this store has not deleted it"):
        store.restore(folder)
    assert store.left() == []


def test_a_store_that_was_cleared(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 2, days=9)
    store.archive(folder)
    store.execute("TRUNCATE message_store.messages RESTART IDENTITY")
    with pytest.raises(RestoreRefused, match="this store has not deleted it"):
        store.restore(folder)


@pytest.mark.parametrize("archive_format", ["jsonl", "parquet"])
def test_a_damaged_file(store: ArchivedStore, place: Place, archive_format: str) -> None:
    store.write("order-1", 4, days=9)
    store.archive(place, batch_size=2, archive_format=archive_format)
    path = place.data_files()[0]
    content = bytearray(place.location.read(path))
    content[len(content) // 2] ^= 1
    replace(place, path, bytes(content))
    with pytest.raises(ArchiveError, match=r"has checksum [0-9a-f]{64} instead of"):
        store.restore(place)
    assert store.left() == []
    assert store.is_sound()


def replace(place: Place, path: str, content: bytes) -> None:
    location = place.location
    location._files.pipe_file(location._full(path), content)


def test_versions_that_were_forgotten(store: ArchivedStore, folder: Place) -> None:
    """Their streams are whole again, but what else was deleted is not known."""
    store.write("order-1", 3, days=9)
    store.write("order-2", 1, days=9)
    before = store.exported()
    store.archive(folder, keep_versions=False, batch_size=2)
    assert store.restore(folder) == {"order": (4, 0)}
    assert store.exported() == before
    assert store.rows(tables.stream_heads) == []
    assert deleted(store) == [("order", 4, False)]
    assert store.is_sound()


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_a_forgotten_stream_that_was_started_again(
    store: ArchivedStore, folder: Place, number: int
) -> None:
    store.write("order-1", 4, days=9)
    store.archive(folder, keep_versions=False, batch_size=2)
    store.write("order-1", number)
    remove(folder, 0)
    after = store.exported()
    with pytest.raises(RestoreRefused):
        store.restore(folder)
    assert store.exported() == after
    assert store.is_sound()


def test_a_writer_that_starts_a_forgotten_stream_meanwhile(
    store: ArchivedStore, folder: Place
) -> None:
    store.write("order-1", 4, days=9)
    store.archive(folder, keep_versions=False, batch_size=2)
    remove(folder, 0)
    with ThreadPoolExecutor(1) as threads, store.engine.connect() as writer:
        MessageStore(writer).write("order-1", Message("T"))
        restoring = threads.submit(store.restore, folder)
        wait_until(lambda: store.value(WAITING))
        writer.commit()
        with pytest.raises(RestoreRefused):
            restoring.result()
    assert store.left() == [("order-1", 0)]
    assert store.is_sound()


def test_a_restore_waits_for_deletions(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 2, days=9)
    store.write("order-1", 2)
    before = store.exported()
    store.archive(folder)
    with ThreadPoolExecutor(1) as threads, store.engine.connect() as deleting:
        deleting.execute(text("SELECT message_store.delete_messages('{}')"))
        restoring = threads.submit(store.restore, folder)
        wait_until(lambda: store.value(WAITING))
        assert "restore_messages" in store.value(
            "SELECT query FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE NOT granted"
        )
        deleting.rollback()
        assert restoring.result() == {"order": (2, 0)}
    assert store.exported() == before


def test_consumers_beyond_restored_messages_do_not_see_them(
    store: ArchivedStore, folder: Place
) -> None:
    handled: list[tuple[str, int]] = []

    def consumer(name: str) -> Consumer:
        found = Consumer(name, "order")
        found.on()(lambda message, unit: handled.append((name, message.global_position)))
        return found

    store.write("order-1", 3, days=9)
    consumer("old").catch_up(store.factory)
    store.archive(folder)
    store.write("order-1", 1)
    with pytest.raises(MessagesDeleted):
        consumer("new").catch_up(store.factory)
    store.restore(folder)
    handled.clear()
    consumer("old").catch_up(store.factory)
    consumer("new").catch_up(store.factory)
    assert handled == [("old", 4), ("new", 1), ("new", 2), ("new", 3), ("new", 4)]


def test_the_newest_file_of_a_message_counts(store: ArchivedStore, folder: Place) -> None:
    """A message that was erased after a job was killed does not come back."""
    store.insert("order-1", ('"secret"', None))
    store.archive(folder)
    store.restore(folder)
    store.execute("UPDATE message_store.messages SET data = '\"erased\"'")
    store.archive(folder)
    assert store.restore(folder) == {"order": (1, 1)}
    assert store.value("SELECT data FROM message_store.messages") == "erased"


def test_archived_restored_and_archived_again(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 5, days=9)
    store.write("order-1", 1)
    before = store.exported()
    for batch_size in (2, 3, 10):
        assert store.archive(folder, batch_size=batch_size) == 5
        assert store.restore(folder)["order"][0] == 5
        assert store.exported() == before
        assert store.is_sound()


def test_nothing_to_restore(store: ArchivedStore, folder: Place) -> None:
    assert store.restore(folder) == {}
    with pytest.raises(InvalidArgument, match="The archive has no messages of category order"):
        store.restore(folder, "order")
    with pytest.raises(ArchiveError, match="Can't list /nowhere: there is no folder /nowhere"):
        store.restore(Place("/nowhere"))
    with pytest.raises(InvalidArgument, match="categories must be a list of names, got 'order'"):
        archive.restore(store.engine, folder.url, categories="order")


def test_the_newest_file_is_first(store: ArchivedStore, folder: Place) -> None:
    store.write("order-1", 10, days=9)
    store.archive(folder, batch_size=3)
    seen: list[int] = []
    archive.restore(store.engine, folder.url, on_file=lambda file: seen.append(file.messages))
    assert seen == [1, 3, 3, 3]


def test_old_snapshots_can_not_restore(store: ArchivedStore) -> None:
    engine = store.engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection, pytest.raises(DBAPIError, match="level read committed"):
        connection.execute(text("SELECT message_store.restore_messages('order', '')"))
