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
    """Has a relay add the attributes of CloudEvents 1.0, in binary mode, to what it publishes.

    `id`, `source`, `type`, `subject` (the stream's name), `time` and `partitionkey` (the cardinal
    id), as headers whose prefix is what CloudEvents' binding for the protocol says.

    Args:
        source: who publishes, a URI reference, such as `/shop` or `https://shop.example/orders`.
        type_prefix: what is put before the type of a message, such as `com.example.`.

    Raises:
        InvalidArgument: the source is empty, or one of them is no string.
    """

    source: str
    type_prefix: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", text("The source of CloudEvents", self.source))
        if self.type_prefix != "":
            prefix = text("The type_prefix of CloudEvents", self.type_prefix)
            object.__setattr__(self, "type_prefix", prefix)

    def attributes(self, message: StoredMessage) -> dict[str, str]:
        """Return the attributes of a message by name, without those about its content."""
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
    """Return a value as a header holds it whose text is ASCII, by CloudEvents' rule for HTTP."""
    return quote(value, safe=_PRINTABLE)
