from __future__ import annotations

import io
import re
from pathlib import Path
from textwrap import indent

import pytest
from rich.console import Console
from sqlalchemy import create_engine

from mdb_sqla.cli import demo_tour
from mdb_sqla.migrations.store_history import VERSIONS
from tests.cli.test_mdb import mdb_process

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def output() -> str:
    return mdb_process("demo").stdout


def test_each_step_shows_its_code_and_output(output: str) -> None:
    results = [
        [f"Applied message_store_{version}" for version in VERSIONS],
        ["Stream order-1 is at version 1"],
        ["Wrong expected version: 0 (Stream: order-1, Stream Version: 1)"],
        ["Sales: [12]"],
        ["0 Placed {'item': 'tea'}", "1 Paid {'amount': 12}", "The order is paid"],
    ]
    for number, (step, lines) in enumerate(zip(demo_tour._STEPS, results, strict=True), 1):
        printed = "".join(f"  → {line}\n" for line in lines)
        assert f"\n{number}. {step.title}\n{indent(step.code, '    ')}{printed}\n" in output


def test_it_ends_with_what_to_do_next(output: str) -> None:
    _, end = output.split("\nWhat next?\n")

    assert "mdb dev " in end
    assert "mdb revision " in end
    (page,) = re.findall(r"https://\S+/blob/HEAD/(\S+)", end)
    assert (ROOT / page).exists()


def test_it_fits_80_columns_and_is_plain_text_in_a_pipe(output: str) -> None:
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) < 80
    assert not [line for line in output.splitlines() if line != line.rstrip()]


def test_the_code_shown_is_the_code_run(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [
        demo_tour._Step("Define", "total = 1\n"),
        demo_tour._Step("Add", "total += 1\nprint(total)\n"),
    ]
    monkeypatch.setattr(demo_tour, "_STEPS", steps)
    output = Console(file=io.StringIO(), width=80)

    demo_tour.run(create_engine("postgresql+psycopg://"), output)

    assert isinstance(output.file, io.StringIO)
    assert "2. Add\n    total += 1\n    print(total)\n  → 2\n" in output.file.getvalue()


def test_a_terminal_gets_colors() -> None:
    highlighted = demo_tour._highlighted('with unit:  # a comment\n    total = "12"\n')
    output = Console(file=io.StringIO(), force_terminal=True, color_system="standard")

    output.print(highlighted)

    assert isinstance(output.file, io.StringIO)
    text = output.file.getvalue()
    assert "\x1b[35mwith\x1b[0m" in text
    assert "\x1b[2m# a comment\x1b[0m" in text
    assert "\x1b[33m12\x1b[0m" in text
