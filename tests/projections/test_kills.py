"""An operation that is killed at any point has done nothing, or can be repeated."""

from __future__ import annotations

import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from mdb_sqla.projections import drop, projections, rebuild, switch
from tests.projections.conftest import Shop, totals_of

ROOT = Path(__file__).parents[2]


def kill_in(shop: Shop, operation: str) -> None:
    url = shop.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.projections.killed", url, operation]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr


def versions(shop: Shop) -> list[tuple[int, str]]:
    with shop.engine.connect() as connection:
        return [(each.version, each.status) for each in projections(connection)]


def test_each_operation_is_killed_and_repeated(shop: Shop) -> None:
    new = totals_of(2, factor=10)
    shop.place(range(1, 31))
    totals_of().consumer().catch_up(shop.factory)
    old_rows = shop.totals()
    new_rows = {str(n): (Decimal(10 * n), Decimal(1)) for n in range(1, 31)}

    kill_in(shop, "prepare")
    assert versions(shop) == [(1, "current")]

    kill_in(shop, "fill")
    assert versions(shop) == [(1, "current"), (2, "other")]
    assert shop.totals() == old_rows
    assert 0 < rebuild(shop.engine, new).messages < 60
    assert shop.totals("order_totals_v2") == new_rows

    kill_in(shop, "switch")
    assert versions(shop) == [(1, "current"), (2, "other")]
    assert shop.totals() == old_rows
    totals_of().consumer().catch_up(shop.factory)
    switch(shop.engine, new)
    assert shop.totals() == new_rows

    kill_in(shop, "drop")
    assert versions(shop) == [(1, "other"), (2, "current")]
    assert shop.totals("order_totals_v1") == old_rows
    drop(shop.engine, "totals", 1)
    assert versions(shop) == [(2, "current")]
    assert shop.totals() == new_rows
