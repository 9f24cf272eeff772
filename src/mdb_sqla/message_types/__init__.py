"""Typed messages: the classes of an application, and how they are stored as JSON."""

from mdb_sqla.message_types.message_types import MessageTypes

__all__ = ["MessageTypes"]
