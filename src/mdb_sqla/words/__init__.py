"""Messages, stream names, queries and argument validation."""

__all__: list[str] = []
