"""A limit that adapts to how long a query takes, within bounds."""

from __future__ import annotations

from mdb_sqla.metrics.adaptive_limit import AdaptiveLimit


def test_it_follows_the_duration() -> None:
    limit = AdaptiveLimit(100, least=10, most=300, fast=1.0, slow=2.0)
    found = []
    for seconds in (0.5, 0.5, 0.5, 1.5, 3.0, 3.0, 3.0, 0.5):
        limit.adapt(seconds)
        found.append(limit.value)
    assert found == [200, 300, 300, 300, 75, 18, 10, 20]


def test_a_failure_does_not_raise_it() -> None:
    limit = AdaptiveLimit(100, least=10, most=300, fast=1.0, slow=2.0)
    limit.adapt(0.0, failed=True)
    assert limit.value == 100
    limit.adapt(5.0, failed=True)
    assert limit.value == 25
