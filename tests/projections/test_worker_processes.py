"""The workers of a rebuild in processes, which import the projection."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mdb_sqla import HandlerFailed, InvalidArgument
from mdb_sqla.projections import rebuild
from tests.projections.conftest import Paid, Shop, totals_of


def test_workers_that_are_processes(filled: Shop) -> None:
    where = "tests.projections.versions:new_totals"
    seen: list[int] = []

    rebuilt = rebuild(filled.engine, totals_of(2), where=where, progress=seen.append)

    assert rebuilt.messages == seen[-1] == 60
    assert filled.totals("order_totals_v2") == {
        str(n): (Decimal(10 * n), Decimal(1)) for n in range(1, 31)
    }


def test_a_worker_process_that_fails(filled: Shop) -> None:
    filled.write(77, Paid(Decimal(1)))

    with pytest.raises(HandlerFailed, match="message 61 of type 'Paid' in stream order-77"):
        rebuild(filled.engine, totals_of(2), where="tests.projections.versions:new_totals")


@pytest.mark.parametrize(
    ("where", "rule"),
    [
        ("tests.projections.versions:projection", "but .* is version 1 of 'totals'"),
        ("tests.projections.versions:totals_of", "where must be an instance of"),
        ("tests.projections.versions:nothing", "has no attribute 'nothing'"),
        ("nowhere", "No module named 'nowhere'"),
    ],
)
def test_where_must_be_the_same_projection(filled: Shop, where: str, rule: str) -> None:
    with pytest.raises(InvalidArgument, match=rule):
        rebuild(filled.engine, totals_of(2), where=where)
