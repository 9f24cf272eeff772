"""Versions of a projection as an application's module has them."""

from __future__ import annotations

from tests.projections.conftest import totals_of

__all__ = ["new_totals", "projection"]

projection = totals_of()
new_totals = totals_of(2, factor=10)
