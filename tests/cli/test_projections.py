"""The commands for projections: a rebuild, a switch, and what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from rich.cells import cell_len
from sqlalchemy import URL, create_engine

from mdb_sqla.cli.options import errors, output
from tests.cli.test_mdb import mdb
from tests.projections.conftest import Base, Paid, Shop
from tests.projections.versions import projection

OLD, NEW = "tests.projections.versions", "tests.projections.versions:new_totals"


@pytest.fixture
def filled(database: URL) -> Iterator[Shop]:
    """A shop whose first version is current."""
    engine = create_engine(database)
    Base.metadata.create_all(engine)
    shop = Shop(engine)
    shop.place(range(1, 4))
    projection.consumer().catch_up(shop.factory)
    yield shop
    engine.dispose()


def run(shop: Shop, *arguments: str) -> str:
    done = mdb("projections", *arguments, url=shop.engine.url)
    return done.stdout


def test_a_new_version(filled: Shop) -> None:
    assert "has caught up" in run(filled, "rebuild", NEW)
    shown = json.loads(run(filled, "list", "--json"))
    assert [(each["version"], each["status"], each["table"]) for each in shown] == [
        (1, "current", None),
        (2, "other", "public.order_totals_v2"),
    ]
    assert shown[1]["lag"]["messages"] == 0

    assert run(filled, "switch", NEW) == "Version 2 of totals is current.\n"
    assert filled.totals()["3"] == (Decimal(30), Decimal(1))
    assert run(filled, "drop", "totals", "1") == "Deleted version 1 of totals.\n"
    assert len(run(filled, "list").splitlines()) == 2
    operations = mdb("operations", "totals", url=filled.engine.url).stdout
    assert "drop_projection" in operations


def test_the_mode(filled: Shop) -> None:
    assert run(filled, "mode", OLD, "inline") == "totals is now maintained inline.\n"
    assert run(filled, "mode", OLD, "inline") == "totals is already maintained inline.\n"
    assert "inline" in run(filled, "list")
    done = mdb("consumers", url=filled.engine.url)
    assert "totals" not in done.stdout
    assert "No consumers." in done.stderr
    assert run(filled, "mode", OLD, "async") == "totals is now maintained by its consumer.\n"
    filled.write(1, Paid(Decimal(1)))
    projection.consumer().catch_up(filled.factory)
    assert filled.totals()["1"] == (Decimal(1), Decimal(2))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["rebuild", OLD], 1, "Projection 'totals': version 1 is the current one"),
        (["switch", NEW], 1, "version 2 has no table of its own: fill one"),
        (["drop", "totals", "1"], 1, "version 1 has no table of its own, so it can't be dropped"),
        (["switch", "tests.projections.versions:OLD"], 2, "Can't load a Projection from"),
        (["switch", "tests.projections.versions:totals_of"], 2, "must be a Projection, got"),
        (["mode", OLD, "never"], 2, "never"),
    ],
)
def test_what_is_refused(filled: Shop, arguments: list[str], status: int, said: str) -> None:
    done = mdb("projections", *arguments, url=filled.engine.url, code=status)

    assert done.stdout == ""
    assert said in done.stderr


def test_a_terminal_of_80_columns(filled: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for console in (output, errors):
        monkeypatch.setattr(console, "width", 80)
    run(filled, "rebuild", NEW)

    lines = run(filled, "list").splitlines()

    assert "public.order_totals_v2" in "".join(lines)
    assert max(map(cell_len, lines)) <= 80
