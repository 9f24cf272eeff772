"""A consumer that reads on from where it was, as a test tells it to."""

from __future__ import annotations

from concurrent.futures import Future
from typing import NamedTuple

from tests.ordering.stage import Client, Rows, Stage


class Skipped(AssertionError):
    """A consumer did not get what is in the table, or not in order."""


class Read(NamedTuple):
    """How a consumer reads: what comes from a position on, and up to where it may then go on."""

    messages: str
    settled: str | None = None
    categories: str = "a"
    """Whose messages these are, as an array's text; all others are left out."""


CATEGORY = Read("SELECT global_position FROM message_store.get_category_messages('a', %s)")
FILTERED = Read(
    "SELECT global_position FROM message_store.get_category_messages('a', %s, correlation => 'c')"
)
CONDITIONAL = Read(
    # Depends on the setting, which therefore comes first.
    "SELECT global_position FROM set_config('message_store.sql_condition', 'on', false) AS setting "
    "CROSS JOIN LATERAL message_store.get_category_messages('a', %s, "
    "condition => CASE WHEN setting = 'on' THEN 'true' END)"
)
SETTLED = Read(
    "SELECT global_position FROM message_store.get_category_messages('a', %s, NULL, NULL, 0, 1)",
    "SELECT message_store.settled_position('a')",
)
SEVERAL = Read(
    "SELECT global_position FROM message_store.get_messages('{a,b}', %s)", categories="a,b"
)
SEVERAL_REVERSED = SEVERAL._replace(messages=SEVERAL.messages.replace("a,b", "b,a"))
ALL = Read("SELECT global_position FROM message_store.get_messages(NULL, %s)", categories="a,b")
SETTLED_ALL = Read(
    "SELECT global_position FROM message_store.get_messages(NULL, %s, NULL, 'c')",
    "SELECT message_store.settled_position()",
    "a,b",
)

READS = {
    "category": CATEGORY,
    "filtered": FILTERED,
    "conditional": CONDITIONAL,
    "settled": SETTLED,
    "several": SEVERAL,
    "all": ALL,
    "settled all": SETTLED_ALL,
}


class Follower:
    """Reads what there is, again and again, and remembers where it was."""

    def __init__(self, stage: Stage, read: Read, client: Client | None = None) -> None:
        self.client = client or stage.client()
        self._stage = stage
        self._read = read
        self._position = 1
        self._settled = 0
        self.seen: list[int] = []

    def read(self) -> None:
        self.settle()
        self.read_on()

    def settle(self) -> None:
        """The first half of a read: ask what is settled."""
        if self._read.settled:
            ((self._settled,),) = self.client(self._read.settled)

    def read_on(self) -> None:
        """The second half."""
        self._take(self.client(self._read.messages, self._position))

    def start(self) -> Future[Rows]:
        """Begin to read; ends with `finish`."""
        self.settle()
        return self.client.start(self._read.messages, self._position)

    def finish(self, running: Future[Rows]) -> None:
        self._take(self._stage.finish(running))

    def check(self) -> None:
        """Read what is left, and compare.

        Raises:
            Skipped: something is missing, comes twice or out of order.
        """
        self.read()
        stored = self._stage.control(
            "SELECT global_position FROM message_store.messages "
            "WHERE message_store.category(stream_name) = ANY (%s::text[]) "
            "ORDER BY global_position",
            "{" + self._read.categories + "}",
        )
        if self.seen != [position for (position,) in stored]:
            raise Skipped(f"read {self.seen}, stored {stored}")

    def _take(self, rows: Rows) -> None:
        positions = [position for (position,) in rows]
        self.seen += positions
        self._position = max([self._position - 1, self._settled, *positions]) + 1
