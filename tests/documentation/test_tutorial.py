"""Does what the pages of docs/tutorial say, each tutorial in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from difflib import SequenceMatcher
from pathlib import Path
from typing import LiteralString

import httpx2
import psycopg
import pytest
from sqlalchemy import URL, make_url

from tests.folders import open_folder

ROOT = Path(__file__).parents[2]
FOLDER_OF_PAGES = ROOT / "docs" / "tutorial"
# The pages of a tutorial, each of which continues where the one before has ended.
TUTORIALS = [["index", "event-sourcing"], ["async"]]
# What a page leaves in the table that its consumer fills.
RESULTS: dict[str, tuple[LiteralString, list[tuple[object, ...]]]] = {
    "index": ("SELECT item, orders, revenue FROM sales", [("tea", 1, 12)]),
    "event-sourcing": (
        "SELECT customer, amount FROM balances ORDER BY customer",
        [("ada", 15), ("bob", 10)],
    ),
    "async": ("SELECT item, orders, revenue FROM sales", [("tea", 1, 12)]),
}
BLOCK = re.compile(
    r"^```(?:(?P<language>python|ini|console)|"
    r"\{code-block\} python\n:emphasize-lines: (?P<lines>[\d, -]+))\n"
    r"(?P<source>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
FENCE = re.compile(r"^```(?!\{toctree\})\S+", re.MULTILINE)
PATIENCE = 30.0  # seconds

FOLDER = "/home/you/shop"
PORT = "8000"
STORE_URL = re.compile(r"postgresql\+psycopg://\S+")

# What differs from run to run.
VARIABLE = {
    STORE_URL: "URL",
    re.compile(r"postgresql://\S+"): "URL",
    re.compile(r"localhost:\d+"): "localhost:PORT",
    re.compile(r"127\.0\.0\.1:\d+"): "127.0.0.1:PORT",
    re.compile(r"PostgreSQL \d+"): "PostgreSQL N",
    re.compile(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])"): "REVISION",
    re.compile(r"process \[\d+\]"): "process [N]",
    re.compile(r"\b[\w.-]+-\d+-[0-9a-f]{8}\b"): "MEMBER",
    re.compile(r"\d\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d\d\d"): "TIME",
    re.compile(r"\b\d+(?:\.\d+)? ?s\b"): "N s",
    re.compile(r" +"): " ",
    re.compile(r" *$", re.MULTILINE): "",
}


class Reader:
    """Who follows a page: saves its files, types its commands, and compares what they print."""

    def __init__(self, folder: Path, outputs: Path, database: URL, server: URL) -> None:
        self._folder = folder
        self._outputs = outputs
        self._port = str(free_port())
        self._files: dict[str, str] = {}
        self._services: dict[str, subprocess.Popen[str]] = {}
        self._urls: dict[str, str] = {}
        self.done: list[str] = []
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "PYTHONUNBUFFERED": "1",
            "PYTEST_ADDOPTS": "-W error",
            "COLUMNS": "80",
            "SHOP_DATABASE_URL": database.render_as_string(hide_password=False),
            "MDB_TEST_DATABASE_URL": server.render_as_string(hide_password=False),
        }
        self.environment.pop("MDB_DATABASE_URL", None)

    def save(self, source: str, highlighted: set[int]) -> None:
        """Save a file under the name in its first line; what has changed must be highlighted."""
        name, _, text = source.partition("\n")
        if (before := self._files.get(name)) is not None:
            assert source != before, name
        assert highlighted == (set() if before is None else changed_lines(before, source)), name
        self._files[name] = source
        path = self._folder / name.removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def type(self, command: str, shown: str) -> None:
        words = shlex.split(command.replace(PORT, self._port))
        self.done.append(words[0])
        if words[0] == "export":
            assert shown == ""
            self._export(*words[1].split("=", 1))
        elif words[0] == "curl":
            assert self._ask(words, shown) == shown
        elif words[0] == "uvicorn" or words[:2] in (["mdb", "host"], ["mdb", "dev"]):
            self._start(words, shown)
        else:
            self._run(words, shown)

    def stop(self) -> None:
        for name in reversed(list(self._services)):
            self._stop(name)

    def _export(self, name: str, value: str) -> None:
        if value.startswith("$"):
            self.environment[name] = self.environment[value[1:]]
        else:
            self.environment[name] = self._urls[value]

    def _run(self, words: list[str], shown: str) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run(
                words,
                cwd=self._folder,
                env=self.environment,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            assert done.returncode == 0, done.stdout
            printed = self._normalized(done.stdout)
            # The consumer may not be through yet.
            if words[:2] != ["mdb", "consumers"] or printed == normalized(shown):
                break
            if time.monotonic() > until:
                break
        assert printed == normalized(shown)

    def _start(self, words: list[str], shown: str) -> None:
        """Start what runs until it is stopped; the same command stops the one before."""
        name = " ".join(words[:2])
        self._stop(name)
        output = self._outputs / name.replace(" ", "-")
        with output.open("w", encoding="utf-8") as file:
            self._services[name] = subprocess.Popen(
                words,
                cwd=self._folder,
                env=self.environment,
                text=True,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + PATIENCE
        while not (printed := self._normalized(output.read_text())).startswith(normalized(shown)):
            assert self._services[name].poll() is None, printed
            if time.monotonic() > until:
                assert printed == normalized(shown)
            time.sleep(0.05)
        assert shown != ""
        printed_urls = STORE_URL.findall(output.read_text(encoding="utf-8"))
        self._urls.update(zip(STORE_URL.findall(shown), printed_urls, strict=True))

    def _stop(self, name: str) -> None:
        process = self._services.pop(name, None)
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=PATIENCE)
            printed = (self._outputs / name.replace(" ", "-")).read_text(encoding="utf-8")
            # uvicorn ends itself with the signal that it was sent.
            assert process.returncode in {0, -signal.SIGTERM}, printed
            assert "Traceback" not in printed

    def _ask(self, words: list[str], shown: str) -> str:
        """Do what curl would do."""
        url = words[-1]
        if "--json" in words:
            data = words[words.index("--json") + 1]
            return f"{httpx2.post(url, json=json.loads(data)).text}\n"
        until = time.monotonic() + PATIENCE
        # The consumer may not be through yet.
        while (answer := f"{httpx2.get(url).text}\n") != shown and time.monotonic() < until:
            time.sleep(0.05)
        return answer

    def _normalized(self, printed: str) -> str:
        return normalized(printed.replace(str(self._folder), FOLDER).replace(self._port, PORT))


def normalized(text: str) -> str:
    """Return an output without what differs from run to run."""
    for pattern, replacement in VARIABLE.items():
        text = pattern.sub(replacement, text)
    lines = text.strip("\n").splitlines()
    # Alembic copies its templates in the order in which the file system lists them.
    generated = sorted(line for line in lines if line.startswith("Generating "))
    return "\n".join([line for line in lines if line not in generated] + generated)


def changed_lines(before: str, after: str) -> set[int]:
    """Return the numbers of lines that are new or have changed, without blank lines at the ends."""
    changed: set[int] = set()
    lines = after.splitlines()
    for tag, _, _, begin, end in SequenceMatcher(
        None, before.splitlines(), lines, autojunk=False
    ).get_opcodes():
        if tag in {"replace", "insert"}:
            while begin < end and not lines[begin]:
                begin += 1
            while begin < end and not lines[end - 1]:
                end -= 1
            changed.update(range(begin + 1, end + 1))
    return changed


def line_numbers(option: str | None) -> set[int]:
    """Return the numbers in an option such as `2, 5-7`."""
    numbers: set[int] = set()
    for part in (option or "").replace(" ", "").split(",") if option else []:
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def reader(tmp_path: Path, empty_database: URL, server_url: URL) -> Iterator[Reader]:
    with open_folder() as folder:
        reader = Reader(folder, tmp_path, empty_database, server_url)
        yield reader
        reader.stop()


@pytest.mark.parametrize("pages", TUTORIALS, ids=lambda pages: pages[0])
def test_the_tutorial(pages: list[str], reader: Reader) -> None:
    for page in pages:
        follow(page, reader)


def test_every_page_belongs_to_a_tutorial() -> None:
    pages = {path.stem for path in FOLDER_OF_PAGES.glob("*.md")}
    assert pages == {page for tutorial in TUTORIALS for page in tutorial}


def follow(page: str, reader: Reader) -> None:
    """Do what a page says, from top to bottom."""
    text = (FOLDER_OF_PAGES / f"{page}.md").read_text(encoding="utf-8")
    found = list(BLOCK.finditer(text))
    assert len(found) == len(FENCE.findall(text))

    reader.done.clear()
    for block in found:
        if block["language"] == "console":
            for part in re.split(r"^\$ ", block["source"], flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                reader.type(command, shown)
        else:
            reader.save(block["source"], line_numbers(block["lines"]))

    assert {"alembic", "uvicorn", "curl", "mdb", "python"} <= {*reader.done}
    query, rows = RESULTS[page]
    assert selected(reader.environment["SHOP_DATABASE_URL"], query, rows) == rows


def selected(
    url: str, query: LiteralString, expected: list[tuple[object, ...]]
) -> list[tuple[object, ...]]:
    """Return the rows of a query, as soon as the consumer has written those that are expected."""
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    until = time.monotonic() + PATIENCE
    with psycopg.connect(conninfo, autocommit=True) as connection:
        while (rows := connection.execute(query).fetchall()) != expected:
            if time.monotonic() > until:
                break
            time.sleep(0.05)
    return rows


def test_what_has_changed_is_found() -> None:
    before = "# a\nimport x\n\none()\ntwo()\n"
    after = "# a\nimport x\nimport y\n\none()\n\n\nthree()\n\nfour()\n"

    assert changed_lines(before, after) == line_numbers("3, 8-10")
    assert changed_lines(before, before) == line_numbers(None) == set()


def test_what_differs_from_run_to_run_does_not_count() -> None:
    assert normalized("3 passed in 0.21s") == normalized("3 passed in 1.5s\n")
    assert normalized("5c1d86a2f0b3_a.py  done") == normalized("9e02b7c41d55_a.py done")
    assert normalized("lag 1") != normalized("lag 0")
