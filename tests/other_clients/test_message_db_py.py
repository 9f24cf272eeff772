"""The tests of message-db-py, a client in Python, on a new store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sqlalchemy import URL

from tests.other_clients.conftest import environment
from tests.other_clients.repository import Repository

# Version 0.3.4. Neither the wheel nor the sdist has the tests.
MESSAGE_DB_PY = Repository("subhashb", "message-db-py", "93602cddb6a5fd08a059017857dc69d35034a405")
TESTS = 73
PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module")
def message_db_py(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MESSAGE_DB_PY.check_out(tmp_path_factory.mktemp("message_db_py"))


def test_they_pass(message_db_py: Path, new_store: URL, tmp_path: Path) -> None:
    results = tmp_path / "results.xml"
    # Its own options measure the coverage, which needs a plugin.
    options = ["-o", "addopts=", "-p", "message_db_elsewhere", "-p", "no:cacheprovider"]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--junitxml={results}", "tests"],
        cwd=message_db_py,
        env={
            **environment(new_store),
            "PYTHONPATH": os.pathsep.join([str(message_db_py / "src"), str(PLUGIN)]),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )

    assert results.exists(), done.stdout
    outcomes = Counter(
        case[0].tag if len(case) else "passed"
        for case in ElementTree.parse(results).iter("testcase")
    )
    assert outcomes == {"passed": TESTS}, done.stdout
    assert done.returncode == 0, done.stdout
