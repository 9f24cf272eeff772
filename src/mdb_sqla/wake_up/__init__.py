"""Consumers are notified of messages once these are committed, so that they need not poll."""

__all__: list[str] = []
