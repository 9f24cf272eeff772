"""Typed messages: the classes of an application, and how they are stored as JSON."""

from mdb_sqla.message_types.message_types import MessageTypes
from mdb_sqla.message_types.schema_comparison import incompatibilities

__all__ = ["MessageTypes", "incompatibilities"]
