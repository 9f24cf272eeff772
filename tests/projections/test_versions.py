"""Which version is current, and where each one may write."""

from __future__ import annotations

import pytest

from mdb_sqla import ProjectionRefused
from mdb_sqla.projections.consumer_batch import target_of
from mdb_sqla.projections.table_exchange import final_name
from mdb_sqla.projections.version_table import own_name
from mdb_sqla.projections.versions import Mode, Versions
from tests.projections.conftest import totals_of


def versions(modes: dict[int, Mode], *with_tables: int) -> Versions:
    return Versions("totals", "public", modes, frozenset(with_tables))


@pytest.mark.parametrize(
    ("found", "target"),
    [
        (versions({2: "async"}), "order_totals"),
        (versions({1: "async", 2: "async"}, 2), "order_totals_v2"),
        (versions({1: "async", 2: "async"}, 1), "order_totals"),
        (versions({3: "inline", 2: "async"}, 2), "order_totals_v2"),
    ],
)
def test_where_a_version_writes(found: Versions, target: str) -> None:
    assert target_of(totals_of(2), found) == target


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        (versions({}), "version 2 is not registered any more"),
        (versions({1: "async"}), "version 1 is current, and version 2 has no table of its own"),
        (versions({2: "inline"}), "version 2 is maintained inline, not by its consumer"),
        (versions({1: "async", 2: "async"}), "versions 1 and 2 are both registered"),
    ],
)
def test_where_it_may_not_write(found: Versions, rule: str) -> None:
    with pytest.raises(ProjectionRefused, match=rule):
        target_of(totals_of(2), found)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("order_totals_pkey", "order_totals_v2_pkey"),
        ("order_totals_id_seq", "order_totals_v2_id_seq"),
        ("ix_order_totals_customer", "ix_order_totals_customer_v2"),
        ("order_totals", "order_totals_v2"),
    ],
)
def test_names_of_what_belongs_to_a_table(name: str, own: str) -> None:
    assert own_name(name, "order_totals", "order_totals_v2") == own
    assert final_name(own, "order_totals", "order_totals_v2") == name
