"""Executing statements over what an application works with, and what the server says to them."""

__all__: list[str] = []
