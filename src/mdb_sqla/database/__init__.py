"""Statement execution over sessions and connections, and translation of server errors."""

__all__: list[str] = []
