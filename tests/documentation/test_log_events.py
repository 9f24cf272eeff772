"""The table of events in docs/reference/logs.md has what the package logs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "logs.md"
SOURCES = sorted((ROOT / "src" / "mdb_sqla").rglob("*.py"))
EVENT = re.compile(r"[a-z]+\.[a-z_]+")
LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR"}


class Event(NamedTuple):
    """An event with the names of its fields, and `error` if it has one."""

    name: str
    logger: str
    fields: frozenset[str]


def table() -> dict[str, tuple[Event, set[str]]]:
    """Return the events of the page, with their levels."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 5:
            name, levels, logger, fields, meaning = cells
            assert meaning
            names = {field.strip("` ") for field in fields.split(",")} - {""}
            event = Event(name.strip("`"), logger.strip("`"), frozenset(names))
            found[event.name] = (event, set(levels.split(", ")))
    return found


def calls(path: Path) -> Iterator[ast.Call]:
    """Yield the calls that log an event."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            # A logarithm has fewer arguments.
            and (node.func.id == "log_event" or (node.func.id == "log" and len(node.args) > 2))
        ):
            yield node


def logger_of(path: Path) -> str:
    """Return the name of a module's logger; without one, it logs for a consumer."""
    found = re.search(r'getLogger\("([\w.]+)"\)', path.read_text(encoding="utf-8"))
    return found[1] if found else "mdb_sqla.consumer"


def source() -> dict[str, Event]:
    """Return the events of the source."""
    found: dict[str, Event] = {}
    for path in SOURCES:
        for call in calls(path):
            names = [
                each.value
                for each in call.args
                if isinstance(each, ast.Constant) and EVENT.fullmatch(str(each.value))
            ]
            if path.name == "run_control.py" and not names:
                continue  # passes on what it is called with
            (name,) = names
            fields = {keyword.arg or "**" for keyword in call.keywords}
            if isinstance(call.func, ast.Name) and call.func.id == "log":
                fields.add("consumer")
            event = Event(str(name), logger_of(path), frozenset(fields))
            assert found.setdefault(event.name, event) == event, event.name
    return found


def test_the_table_has_every_event_and_its_fields() -> None:
    told = table()

    assert {name: event for name, (event, _) in told.items()} == source()
    assert len(told) > 20
    for _, levels in told.values():
        assert levels <= LEVELS


def test_the_levels_are_those_of_the_source() -> None:
    told = table()
    for path in SOURCES:
        for call in calls(path):
            levels = {
                node.attr
                for each in call.args
                for node in ast.walk(each)
                if isinstance(node, ast.Attribute) and node.attr in LEVELS
            }
            for each in call.args:
                if isinstance(each, ast.Constant) and each.value in told:
                    assert levels <= told[str(each.value)][1], each.value


def test_nothing_is_logged_without_an_event() -> None:
    for path in SOURCES:
        if path.name != "log_event.py":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"_log(ger)?\.(debug|info|warning|error|exception|log)\(", text), (
                path
            )
