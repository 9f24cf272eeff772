"""Where an archive may be."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mdb_sqla import InvalidArgument, archive
from mdb_sqla.archive.archive_url import archive_url
from mdb_sqla.archive.manifest import category_folder
from mdb_sqla.retention import RetentionPolicy, policies, set_policy
from tests.archive.conftest import ArchivedStore, Place


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("/var/archive/", "/var/archive"),
        ("file:///var/archive", "file:///var/archive"),
        ("s3://bucket/folder/", "s3://bucket/folder"),
        ("s3://bucket", "s3://bucket"),
        ("abfs://container@account.dfs.core.windows.net/x", None),
        ("sftp://user@host/folder", None),
        ("/var/a?b@c:d", None),
    ],
)
def test_accepted(url: str, kept: str | None) -> None:
    assert archive_url(url) == (kept or url)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("archive", "archive must be an absolute path or a URL such as s3://bucket/folder"),
        ("./archive", "must be an absolute path or a URL"),
        ("", "archive must be a non-empty string"),
        (7, "archive must be a non-empty string without NUL or surrogates, got 7"),
        ("/", "must be an absolute path or a URL"),
        ("s3://", "must be an absolute path or a URL"),
        ("://x", "must be an absolute path or a URL"),
        ("memory://x", "must be a file system that outlives the process, got 'memory://x'"),
        ("simplecache::s3://b/x", "must be an absolute path or a URL"),
        ("zip://a::s3://b/x", "without ::"),
        ("sftp://user:secret@host/x", "must be a URL without a password or query"),
        ("s3://key:se%2Fcret@bucket/x", "configure the credentials of s3 where the job runs"),
        ("abfs://c/x?sig=secret", "must be a URL without a password or query"),
    ],
)
def test_refused(store: ArchivedStore, url: Any, text: str) -> None:
    with store.engine.begin() as connection:
        with pytest.raises(InvalidArgument, match=re.escape(text)) as refused:
            set_policy(connection, "order", archive=url)
        assert "secret" not in str(refused.value)
        assert policies(connection) == []
    with pytest.raises(InvalidArgument, match=re.escape(text)):
        archive.files(url)


@pytest.mark.parametrize("archive_format", ["csv", None, 1, "JSONL"])
def test_unknown_formats(store: ArchivedStore, archive_format: Any) -> None:
    with (
        store.engine.begin() as connection,
        pytest.raises(InvalidArgument, match="archive_format must be jsonl or parquet, got "),
    ):
        set_policy(connection, "order", archive="/x", archive_format=archive_format)


def test_a_policy_keeps_them(store: ArchivedStore) -> None:
    policy = store.policy("order", keep_last=1, archive="s3://b/x", archive_format="parquet")
    assert policy == RetentionPolicy("order", None, 1, True, "s3://b/x", "parquet")
    assert str(policy) == "the last message of each stream; archive to s3://b/x"
    with store.engine.connect() as connection:
        assert policies(connection) == [policy]
    store.policy("order", keep_last=1)
    with store.engine.connect() as connection:
        assert policies(connection) == [RetentionPolicy("order", None, 1)]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nothing://x/y", "Can't use the archive nothing://x/y: Protocol not known: nothing"),
        ("gs://x/y", "Can't use the archive gs://x/y: Please install gcsfs"),
    ],
)
def test_file_systems_that_are_missing(url: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(text)):
        archive.files(url)


@pytest.mark.parametrize(
    "category", ["order", "order:command", "..", ".", "a/b", "a b*?[x]%", "ä" * 300, "x" * 300]
)
def test_a_folder_for_each_category(store: ArchivedStore, place: Place, category: str) -> None:
    folder = category_folder(category)
    assert folder.isascii()
    assert "/" not in folder
    assert len(folder) < 255
    store.write(f"{category}-1", 2, days=9)
    before = store.exported()
    assert store.archive(place, category) == 2
    assert [path.partition("/")[0] for path in place.data_files()] == [folder]
    assert store.restore(place, category) == {category: (2, 0)}
    assert store.exported() == before
