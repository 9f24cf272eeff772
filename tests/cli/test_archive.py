"""The commands that list, verify and restore archives."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, text

from mdb_sqla import Message, MessageStore
from mdb_sqla.cli.options import output
from tests.cli.in_process import run
from tests.cli.test_mdb import mdb


@pytest.fixture
def folder(database: URL, tmp_path: Path) -> str:
    """An archive with three messages, which a policy and a run of the job have put there."""
    engine = create_engine(database)
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", [Message("T", number) for number in range(3)])
        connection.execute(
            text("UPDATE message_store.messages SET time = time - CAST(:age AS interval)"),
            {"age": timedelta(days=9)},
        )
    engine.dispose()
    done = mdb(
        *("retention", "set", "order", "--keep-age", "1d", "--archive", str(tmp_path)),
        url=database,
    )
    assert done.stdout == (
        f"Set the retention policy of order: keep for 1 d; archive to {tmp_path}.\n"
    )
    assert "deleted 3 messages" in mdb("retention", "run", url=database).stdout
    return str(tmp_path)


def test_an_archive_is_listed(folder: str, database: URL) -> None:
    header, row = mdb("archive", "list", folder, url=database).stdout.splitlines()
    assert header.split() == ["category", "file", "global", "positions", "messages", "bytes"]
    assert row.startswith("order     category=order/000000000001-000000000003-")
    assert row.split()[2:6] == ["1", "to", "3", "3"]
    (file,) = json.loads(mdb("archive", "list", folder, "--json", url=database).stdout)
    assert (file["category"], file["messages"]) == ("order", 3)
    refused = mdb("archive", "list", folder, "--category", "other", url=database, code=2)
    assert refused.stderr == "mdb: The archive has no messages of category other\n"


def test_a_list_fits_the_terminal(
    folder: str, database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "width", 80)
    done = run(["archive", "list", folder], {"COLUMNS": "80"})
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "messages          3\n" in done.stdout


def test_an_archive_is_verified(folder: str, database: URL) -> None:
    done = mdb("archive", "verify", folder, url=database)
    assert (done.stdout, done.stderr) == ("Verified 3 messages in 1 file.\n", "")
    (path,) = Path(folder).rglob("*.gz")
    (path.parent / "unfinished.jsonl.gz").write_bytes(b"")
    done = mdb("archive", "verify", folder, url=database)
    assert "unfinished.jsonl.gz: has no manifest: it is unfinished" in done.stdout
    path.write_bytes(path.read_bytes()[:-1])
    done = mdb("archive", "verify", folder, url=database, code=1)
    assert f"{path.relative_to(folder)}: has " in done.stdout
    assert done.stdout.endswith("Verified 3 messages in 1 file.\n")
    told = json.loads(mdb("archive", "verify", folder, "--json", url=database, code=1).stdout)
    assert (told["files"], told["messages"]) == (1, 3)
    assert sorted(problem["is_damage"] for problem in told["problems"]) == [False, True]


def test_an_archive_is_restored(folder: str, database: URL) -> None:
    done = mdb("archive", "restore", folder, url=database)
    assert done.stdout == "order: restored 3 messages\n"
    assert "The retention policy of order deletes them again unless it keeps them" in done.stderr
    done = mdb("archive", "restore", folder, "--category", "order", url=database)
    assert (done.stdout, done.stderr) == ("order: restored 0 messages; 3 were stored\n", "")
    (told,) = json.loads(mdb("archive", "restore", folder, "--json", url=database).stdout)
    assert told == {"category": "order", "messages": 0, "stored": 3}
    assert mdb("verify", url=database).stdout.endswith("No problems found.\n")


def test_a_restore_that_is_refused(folder: str, database: URL) -> None:
    mdb("clear", "--yes", url=database)
    refused = mdb("archive", "restore", folder, url=database, code=1)
    assert refused.stderr.count("\n") == 1
    assert "this store has not deleted it" in refused.stderr
    (path,) = Path(folder).rglob("*.gz")
    path.write_bytes(b"")
    refused = mdb("archive", "restore", folder, url=database, code=1)
    assert refused.stderr.count("\n") == 1
    assert "has 0 bytes instead of" in refused.stderr


def test_an_archive_that_is_empty(database: URL, tmp_path: Path) -> None:
    for command in ("list", "restore"):
        done = mdb("archive", command, str(tmp_path), url=database)
        assert (done.stdout, done.stderr) == ("", "No archived messages.\n")
        assert (
            json.loads(mdb("archive", command, str(tmp_path), "--json", url=database).stdout) == []
        )
    assert mdb("archive", "verify", str(tmp_path), url=database).stdout == (
        "Verified 0 messages in 0 files.\n"
    )


@pytest.mark.parametrize("command", ["list", "verify", "restore"])
def test_an_archive_that_cannot_be_read(database: URL, command: str) -> None:
    refused = mdb("archive", command, "/nowhere", url=database, code=1)
    assert refused.stderr == "mdb: Can't list /nowhere: there is no folder /nowhere\n"
    refused = mdb("archive", command, "nowhere", url=database, code=2)
    assert refused.stderr.startswith("mdb: archive must be an absolute path or a URL such as s3:")
    refused = mdb("archive", command, "s3://key:secret@bucket/x", url=database, code=2)
    assert "secret" not in refused.stderr
