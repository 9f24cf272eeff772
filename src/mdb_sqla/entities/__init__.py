"""Event-sourced entities: states that are computed from streams of events, snapshots, a cache."""

from mdb_sqla.entities.apply_methods import apply
from mdb_sqla.entities.entity import Entity
from mdb_sqla.entities.entity_store import EntityStore
from mdb_sqla.entities.snapshots import Snapshots

__all__ = ["Entity", "EntityStore", "Snapshots", "apply"]
