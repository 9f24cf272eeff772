"""Messages, stream names, and validation of arguments."""

__all__: list[str] = []
