"""Messages, stream names and argument validation."""

__all__: list[str] = []
