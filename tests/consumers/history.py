"""An earlier state of a store that comes back, as that of a standby that lacks the tail.

No connection is lost, so that nothing but the database's own answers shows it.
"""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Engine, event, text
from tenacity import retry, retry_if_result, stop_after_delay

from mdb_sqla import Consumer
from tests.waiting import wait_until

_TABLES = (
    "message_store.messages",
    "message_store.consumer_slots",
    "message_store.consumer_members",
    "message_store.consumers",
    "message_store.dead_letters",
    "public.effects",
)
LAST = 1000  # the number of the message that a test ends with
SEQUENCE = "message_store.messages_global_position_seq"


class History:
    """Remembers the state that a store has when this is made, and brings it back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with engine.begin() as connection:
            for number, table in enumerate(_TABLES):
                connection.execute(text(f"DROP TABLE IF EXISTS public.kept_{number}"))
                connection.execute(text(f"CREATE TABLE public.kept_{number} AS TABLE {table}"))
            self._drawn = connection.scalar(
                text(f"SELECT coalesce(pg_sequence_last_value('{SEQUENCE}'), 0)")
            )

    def restore(self) -> None:
        with self._engine.begin() as connection:
            for number, table in enumerate(_TABLES):
                connection.execute(text(f"DELETE FROM {table}"))
                connection.execute(text(f"INSERT INTO {table} TABLE public.kept_{number}"))
            # setval(..., false) draws that very number next.
            connection.execute(text(f"SELECT setval('{SEQUENCE}', {self._drawn} + 1, false)"))


def wait_until_it_ends(consumer: Consumer) -> None:
    @retry(retry=retry_if_result(lambda state: state != "stopped"), stop=stop_after_delay(20))
    def state() -> str:
        return consumer.state

    state()


def wait_for_position(application: Any, position: int) -> None:
    """Wait until it is committed, which follows what a handler can tell."""

    @retry(retry=retry_if_result(lambda found: found != position), stop=stop_after_delay(20))
    def found() -> int | None:
        place: int | None = application.position("billing")
        return place

    found()


def wait_until_position_is_saved(application: Any, position: int) -> None:
    """Do the same with whichever slot has the stream."""
    wait_until(lambda: position in [application.position("billing", slot) for slot in (0, 1)])


class Reads:
    """Counts how often a consumer reads."""

    def __init__(self, application: Any) -> None:
        self._number = 0
        self._changed = threading.Condition()
        event.listen(application.flavour.sync_engine, "after_cursor_execute", self._executed)

    def _executed(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "get_category_messages" in statement:
            with self._changed:
                self._number += 1
                self._changed.notify_all()

    def wait_for_two(self) -> None:
        """Wait for a read that begins from now on to have come to its end."""
        with self._changed:
            number = self._number
            assert self._changed.wait_for(lambda: self._number >= number + 3, timeout=20)
