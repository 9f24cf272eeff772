"""What was archived comes back equal, byte for byte."""

from __future__ import annotations

import gzip
import io
import json
from itertools import count
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdb_sqla import archive, tables
from tests.archive.conftest import ArchivedStore, Place

FORMATS = pytest.mark.parametrize("archive_format", ["jsonl", "parquet"])

ODD: list[tuple[str | None, str | None]] = [
    (None, None),
    ("null", "null"),
    ("{}", "{}"),
    ('{"b": 1, "a": 2, "aa": {"z": null, "y": []}}', '{"x": 1.10}'),
    ("12345678901234567890.12345678901234567890", None),
    ("1e400", '{"small": 1e-400, "zero": -0.0}'),
    ('"\\u2028 \\" \\\\ \\n \\t \\u0001 ä 𝄞"', '{"\\n": "\\u007f"}'),
    ("[1.000, 10, [[[]]], false]", '{"correlationStreamName": "a-1"}'),
]
TIMES = [
    "infinity",
    "-infinity",
    "20000-01-01 00:00:00",
    "0044-03-15 12:00:00.25 BC",
    "0001-01-01 00:00:00",
    "9999-12-31 23:59:59.999999",
    "2024-02-29 12:00:00.000001",
    "294276-12-31 23:59:59.999999",
    "4713-01-01 00:00:00 BC",
]


@FORMATS
def test_messages_of_all_kinds(store: ArchivedStore, place: Place, archive_format: str) -> None:
    store.insert("order-1", *ODD)
    for time in TIMES:
        store.insert("order-ä \"'\\", ('{"at": 1}', None), time=time, type='T "x" \n \u2028')
    store.write("other-1", 1)
    before = store.exported()

    number = store.archive(place, keep_age=None, keep_last=1, archive_format=archive_format)
    assert number == len(ODD) + len(TIMES) - 2
    assert archive.verify(place.url) == []
    assert store.exported() != before
    assert store.is_sound()
    assert store.restore(place) == {"order": (number, 0)}

    assert store.exported() == before
    assert store.is_sound()
    assert store.rows(tables.stream_heads) == store.rows(tables.deleted_positions) == []
    assert store.restore(place) == {"order": (0, number)}
    assert store.exported() == before


def test_a_file_of_lines_is_an_export(store: ArchivedStore, folder: Place) -> None:
    store.insert("order-1", *ODD)
    before = store.exported()
    store.archive(folder)
    (path,) = folder.data_files()
    assert path.startswith("category=order/000000000001-000000000008-")
    assert path.endswith(".jsonl.gz")
    assert gzip.decompress(folder.location.read(path)) == before


def test_a_parquet_file_is_a_table(store: ArchivedStore, folder: Place) -> None:
    store.insert("order-1", ('{"b": 1.10}', None), (None, "{}"))
    store.insert("order-1", ("null", None), time="0044-03-15 00:00:00 BC")
    store.archive(folder, archive_format="parquet")
    (path,) = folder.data_files()
    assert path.endswith(".parquet")
    table = pyarrow.parquet.read_table(io.BytesIO(folder.location.read(path)))
    assert table.column("position").to_pylist() == [0, 1, 2]
    assert table.column("data").to_pylist() == ['{"b": 1.10}', None, "null"]
    assert [str(time) for time in table.column("time").to_pylist()] == [
        "2020-01-01 00:00:00.500000+00:00",
        "2020-01-01 00:00:00.500000+00:00",
        "None",
    ]
    assert table.column("time_text").to_pylist() == [None, None, "0044-03-15T00:00:00 BC"]


def test_the_manifest(store: ArchivedStore, place: Place) -> None:
    store.insert("order-1", ("1", None), time="2020-01-02 00:00:00")
    store.insert("order-2", ("1", None), time="0044-03-15 00:00:00 BC")
    store.write("order-1", 2)
    store.archive(place)
    (file,) = archive.files(place.url)
    values = json.loads(place.location.read(f"{file.path}.manifest.json"))
    assert (file.category, file.format, file.messages, file.version) == ("order", "jsonl", 2, 1)
    assert (file.first_global_position, file.last_global_position) == (1, 2)
    assert (file.first_time, file.last_time) == ("0044-03-15T00:00:00Z BC", "2020-01-02T00:00:00Z")
    assert file.size == len(place.location.read(file.path))
    assert values == {**vars(file), "written_at": file.written_at.isoformat()}
    assert store.value("SELECT clock_timestamp() - interval '1 min'") < file.written_at


_json: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.decimals(allow_nan=False, allow_infinity=False).map(lambda value: f"{value:f}"[:200])
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5
    ), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
_documents = st.none() | _json.map(json.dumps)
_messages = st.lists(st.tuples(st.integers(1, 3), _documents, _documents), min_size=1, max_size=12)
_numbers = count()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    messages=_messages,
    batch_size=st.integers(1, 13),
    keep_last=st.none() | st.integers(1, 3),
    keep_versions=st.booleans(),
    archive_format=st.sampled_from(["jsonl", "parquet"]),
)
def test_any_messages(
    store: ArchivedStore,
    folder: Place,
    messages: list[tuple[int, str | None, str | None]],
    keep_last: int | None,
    **rules: Any,
) -> None:
    category = f"c{next(_numbers)}"
    for stream, data, metadata in messages:
        store.insert(f"{category}-{stream}", (data, metadata))
    before = store.exported(category)
    store.archive(folder, category, keep_last=keep_last, **rules)
    assert store.is_sound()
    if archive.files(folder.url):
        store.restore(folder)
    assert store.exported(category) == before
    assert store.is_sound()
