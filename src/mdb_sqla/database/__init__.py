"""Execution of statements over sessions and connections, and the server's errors."""

__all__: list[str] = []
