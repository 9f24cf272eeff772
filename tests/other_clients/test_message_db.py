"""The shell tests of Message DB itself, on a new store.

They print for somebody to look at, and fail only where psql does. So each has to print here what it
prints with Message DB, but for times.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import URL, NullPool, create_engine, text

from tests.other_clients import scripts
from tests.other_clients.conftest import Serving
from tests.other_clients.repository import Repository
from tests.other_clients.scripts import Printed
from tests.side_by_side.message_db import MessageDB

# The database of version 1.3.0. The npm package doesn't have the tests.
MESSAGE_DB = Repository("message-db", "message-db", "25da82b044f94416202ac3daa1866791b385badc")
SCRIPTS = 51
"""How many there are: the 50 of test.sh, and acquire-lock.sh."""


@pytest.fixture(scope="module")
def message_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # As the npm package has it.
    folder = tmp_path_factory.mktemp("message_db") / "package"
    folder.mkdir()
    return MESSAGE_DB.check_out(folder)


@pytest.fixture(scope="module")
def theirs(
    message_db: Path, serving: Serving, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Printed]:
    """What is printed with Message DB."""
    with serving() as url:
        MessageDB("1.3.0", message_db.parent).install(url)
        return scripts.run(message_db, url, tmp_path_factory.mktemp("theirs"))


@pytest.fixture(scope="module")
def ours(
    message_db: Path, new_store: URL, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Printed]:
    """What is printed with a new store."""
    return scripts.run(message_db, new_store, tmp_path_factory.mktemp("ours"))


def test_they_end_well(message_db: Path, ours: dict[str, Printed]) -> None:
    assert {name: script.text for name, script in ours.items() if script.status != 0} == {}
    assert len(ours) == SCRIPTS
    listed = {line for line in (message_db / "test.sh").read_text().split() if ".sh" in line}
    assert listed == set(ours) - {"test/acquire-lock.sh"}


def test_they_print_an_error_where_they_say_so(ours: dict[str, Printed]) -> None:
    raising = {name for name, script in ours.items() if script.errors}

    assert raising == {name for name, script in ours.items() if "an error" in script.text}
    assert all(len(ours[name].errors) == 1 for name in raising)


def test_they_print_what_they_print_with_message_db(
    theirs: dict[str, Printed], ours: dict[str, Printed]
) -> None:
    assert ours == theirs


def test_their_messages_are_in_our_store(ours: dict[str, Printed], new_store: URL) -> None:
    with create_engine(new_store, poolclass=NullPool).connect() as connection:
        written = connection.scalar(text("SELECT count(*) FROM message_store.messages"))

    assert written > 0
