"""Notifications that wake consumers when messages are committed."""

__all__: list[str] = []
