from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from mdb_sqla.words.argument_checks import text
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import ordering_key

__all__ = ["CloudEvents", "percent_encoded"]

_PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


@dataclass(frozen=True)
class CloudEvents:
    """CloudEvents 1.0 attributes, in binary mode, that a relay adds to its messages.

    The attributes are `id`, `source`, `type`, `subject` (the stream name), `time` and
    `partitionkey` (the cardinal id). They become headers with the prefix of the CloudEvents
    protocol binding.

    Args:
        source: the publisher as a URI reference, such as `/shop` or `https://shop.example/orders`.
        type_prefix: a prefix for message types, such as `com.example.`.

    Raises:
        InvalidArgument: the source is empty, or an argument is not a string.
    """

    source: str
    type_prefix: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", text("source", self.source))
        if self.type_prefix != "":
            object.__setattr__(self, "type_prefix", text("type_prefix", self.type_prefix))

    def attributes(self, message: StoredMessage) -> dict[str, str]:
        """Return the attributes of a message by name, without those that describe its content."""
        attributes = {
            "specversion": "1.0",
            "id": str(message.id),
            "source": self.source,
            "type": f"{self.type_prefix}{message.type}",
            "subject": message.stream_name,
            "time": message.time.isoformat(timespec="microseconds"),
        }
        key = ordering_key(message.stream_name)
        has_none = key in {"", message.stream_name}
        return attributes if has_none else {**attributes, "partitionkey": key}


def percent_encoded(value: str) -> str:
    """Return a value as ASCII, encoded according to the CloudEvents HTTP binding."""
    return quote(value, safe=_PRINTABLE)
