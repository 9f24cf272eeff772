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
    explicit: dict[str, set[str]] = {}
    computed: set[str] = set()
    for path in SOURCES:
        for call in calls(path):
            found = {str(each.value) for each in call.args if isinstance(each, ast.Constant)}
            for name in found & told.keys():
                levels = {
                    node.attr
                    for each in call.args
                    for node in ast.walk(each)
                    if isinstance(node, ast.Attribute) and node.attr in LEVELS
                }
                explicit.setdefault(name, set()).update(levels)
                if not levels:
                    computed.add(name)
    assert explicit.keys() == told.keys()
    for name, (_, levels) in told.items():
        assert explicit[name] <= levels, name
        assert name in computed or explicit[name] == levels, name


METHODS = {"debug", "info", "warning", "warn", "error", "critical", "fatal", "log"}


def test_nothing_is_logged_without_an_event() -> None:
    """Whatever a logger is called, and however it was got."""
    for path in SOURCES:
        if path.name == "log_event.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if ast.unparse(node.func) == "warnings.warn":
                    continue
                # A future has a method `exception`, too, without a text.
                is_text = any(isinstance(each, ast.Constant | ast.JoinedStr) for each in node.args)
                assert node.func.attr not in METHODS, f"{path}:{node.lineno}"
                assert node.func.attr != "exception" or not is_text, f"{path}:{node.lineno}"
            if isinstance(node, ast.ImportFrom):
                # `calls` finds them by these names.
                renamed = [each.name for each in node.names if each.asname not in {None, each.name}]
                assert not {"log_event", "log"} & {*renamed}, f"{path}:{node.lineno}"
