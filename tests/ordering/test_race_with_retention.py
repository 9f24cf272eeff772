"""The race, while what all readers have read is deleted: nothing is lost, no position comes twice.

It takes as many seconds as MDB_RACE_SECONDS says; MDB_RACE_SEED repeats the choices of another run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import psycopg
from sqlalchemy import URL, create_engine

from mdb_sqla import admin
from tests.ordering.race import Race
from tests.ordering.writers import CATEGORIES

SECONDS = float(os.environ.get("MDB_RACE_SECONDS", "20"))

# What is deleted goes into a table of the test, so that at the end everything can be counted.
KEEP = """
CREATE TABLE public.deleted (LIKE message_store.messages);
CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.deleted SELECT (old).*;
  RETURN NULL;
END
$$;
CREATE TRIGGER keep AFTER DELETE ON message_store.messages
  FOR EACH ROW EXECUTE FUNCTION public.keep();
CREATE VIEW public.written AS
  SELECT * FROM message_store.messages UNION ALL SELECT * FROM public.deleted;
"""

DELETE = """
SELECT message_store.delete_messages(global_positions)
FROM message_store.expired_messages(%(category)s, NULL, %(keep_last)s, %(up_to)s, 0, %(batch)s)
WHERE number > 0
"""


class RaceWithRetention(Race):
    """A race in which two jobs delete what every reader has read."""

    table = "public.written"

    def __init__(self, url: URL, seconds: float, seed: int) -> None:
        super().__init__(url, seconds, seed)
        self.deletions = 0
        with psycopg.connect(self._dsn) as connection:
            connection.execute(KEEP)

    @property
    def disturbances(self) -> list[Callable[[], None]]:
        return [*super().disturbances, self._delete, self._delete]

    def _delete(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stop_writers.wait(self._random.random() * 0.02):
                parameters = {
                    "category": self._random.choice(CATEGORIES),
                    "keep_last": self._random.choice([None, None, 1, 3]),
                    "up_to": min(reader.position for reader in self._readers) - 1,
                    "batch": self._random.choice([1, 10, 1000]),
                }
                for (number,) in connection.execute(DELETE, parameters):
                    self.deletions += number


def test_nothing_is_lost_and_no_position_comes_twice(database: URL) -> None:
    seed = int(os.environ.get("MDB_RACE_SEED") or random.randrange(2**32))
    race = RaceWithRetention(database, SECONDS, seed)
    outcome = race.run()

    summary = f"{outcome.messages} messages, {race.deletions} deleted, seed {seed}"
    assert not outcome.problems, "\n".join([summary, *outcome.problems])
    assert outcome.messages > 20 * SECONDS, summary
    assert race.deletions > outcome.messages / 2, summary
    assert outcome.counts["conflict"] > 0.1 * SECONDS, summary
    engine = create_engine(database)
    assert admin.verify(engine).differences == []
    engine.dispose()
