"""Encryption."""

__all__: list[str] = []
