"""An earlier state of a store that comes back, as that of a standby that lacks the tail.

No connection is lost, so that nothing but the database's own answers shows it.
"""

from __future__ import annotations

from sqlalchemy import Engine, text

_TABLES = (
    "message_store.messages",
    "message_store.consumer_slots",
    "message_store.consumer_members",
    "message_store.consumers",
    "message_store.dead_letters",
    "public.effects",
)
_SEQUENCE = "message_store.messages_global_position_seq"


class History:
    """Remembers the state that a store has when this is made, and brings it back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with engine.begin() as connection:
            for number, table in enumerate(_TABLES):
                connection.execute(text(f"DROP TABLE IF EXISTS public.kept_{number}"))
                connection.execute(text(f"CREATE TABLE public.kept_{number} AS TABLE {table}"))
            self._drawn = connection.scalar(
                text(f"SELECT coalesce(pg_sequence_last_value('{_SEQUENCE}'), 0)")
            )

    def restore(self) -> None:
        with self._engine.begin() as connection:
            for number, table in enumerate(_TABLES):
                connection.execute(text(f"DELETE FROM {table}"))
                connection.execute(text(f"INSERT INTO {table} TABLE public.kept_{number}"))
            # setval(..., false) draws that very number next.
            connection.execute(text(f"SELECT setval('{_SEQUENCE}', {self._drawn} + 1, false)"))
