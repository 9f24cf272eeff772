"""Projections: tables that are folded from messages by a consumer, inline, or when needed."""

from mdb_sqla.projections.attachment import attach, detach
from mdb_sqla.projections.maintenance_mode import make_async, make_inline
from mdb_sqla.projections.overview import ProjectionVersion, drop, projections
from mdb_sqla.projections.projection import Projection
from mdb_sqla.projections.version_fill import Rebuilt, rebuild
from mdb_sqla.projections.version_switch import switch

__all__ = [
    "Projection",
    "ProjectionVersion",
    "Rebuilt",
    "attach",
    "detach",
    "drop",
    "make_async",
    "make_inline",
    "projections",
    "rebuild",
    "switch",
]
