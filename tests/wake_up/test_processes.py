"""Processes that end at once, or fork, tell what they have written."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from sqlalchemy import URL

from tests.wake_up.conftest import Ear

WRITES_AND_EXITS = """
import sys
from sqlalchemy import NullPool, create_engine
from mdb_sqla import Message, MessageStore

def write(name):
    with engine.begin() as connection:
        MessageStore(connection).write(name, Message("T"))

engine = create_engine(sys.argv[1], poolclass=NullPool)
"""
WRITES_IN_A_FORK = """
import os
write("before-1")
child = os.fork()
if not child:
    write("child-1")
    sys.exit()
_, status = os.waitpid(child, 0)
assert status == 0, status
write("parent-1")
"""


def run(program: str, database: URL) -> None:
    url = database.render_as_string(hide_password=False)
    subprocess.run([sys.executable, "-c", program, url], check=True, timeout=60)


def test_a_process_that_ends_at_once_tells_before_it_does(clean_database: URL, ear: Ear) -> None:
    run(WRITES_AND_EXITS + 'write("short-1")', clean_database)

    assert ear.next() == ["short"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_and_its_fork_tell_each_their_own(clean_database: URL, ear: Ear) -> None:
    run(WRITES_AND_EXITS + WRITES_IN_A_FORK, clean_database)

    assert sorted(ear.until("parent")) == ["before", "child", "parent"]
