"""What everything else is about: messages, stream names, and how arguments are checked."""

__all__: list[str] = []
