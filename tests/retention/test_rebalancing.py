"""Members of a group join, leave, are killed and paused, while a job deletes what was handled.

A trigger looks at each message that is deleted: every consumer has committed what it did with it.

MDB_SOAK_SECONDS says for how long, MDB_SOAK_SEED repeats the choices of another run.
"""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, StoredMessage, UnitOfWork, admin, retention, tables
from tests.disturbing import LEASE, PATIENCE, Processes, Writer, dealt
from tests.retention.workers import Workers
from tests.waiting import wait_until

SECONDS = float(os.environ.get("MDB_SOAK_SECONDS", "8"))
SEED = int(os.environ.get("MDB_SOAK_SEED", random.SystemRandom().randrange(2**32)))
MEMBER = Path(__file__).parents[1] / "consumers" / "member.py"
MEMBERS = 3
STREAMS = 30
DISTURBANCES = ["kill", "kill", "stop", "pause"]

TABLES = """
  CREATE TABLE effects (id serial, stream text, number int);
  CREATE INDEX ON effects (number);
  CREATE TABLE audited (number int PRIMARY KEY);
  CREATE TABLE early (number int);
  CREATE FUNCTION note_early() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF NOT EXISTS (SELECT FROM public.effects WHERE number = old.data::int)
      OR NOT EXISTS (SELECT FROM public.audited WHERE number = old.data::int)
    THEN
      INSERT INTO public.early VALUES (old.data::int);
    END IF;
    RETURN NULL;
  END
  $$;
  CREATE TRIGGER early AFTER DELETE ON message_store.messages
    FOR EACH ROW EXECUTE FUNCTION note_early();
"""


def audit(message: StoredMessage, unit: UnitOfWork) -> None:
    # The primary key refuses to do it twice.
    unit.session.execute(text("INSERT INTO audited VALUES (:number)"), {"number": message.data})


def registered(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(tables.consumers)) or 0


def has_more(deleted: list[int], before: int) -> bool:
    return sum(deleted) > before


def messages_left(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(tables.messages)) or 0


def test_nothing_is_deleted_before_everybody_has_handled_it(engine: Engine) -> None:
    logging.getLogger(__name__).warning("MDB_SOAK_SEED=%d", SEED)
    chance, sizes = random.Random(SEED), random.Random(SEED + 2)
    with engine.begin() as connection:
        connection.execute(text(TABLES))
        retention.set_policy(connection, "order")
    url = engine.url.render_as_string(hide_password=False)

    def launch(number: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, MEMBER, url, f"m{number}", str(LEASE)])

    def delete() -> None:
        (done,) = retention.run(engine, batch_size=sizes.choice([20, 200, 2_000]))
        during.append(done.messages)

    during: list[int] = []
    auditing = Consumer("auditing", "order", transaction_size=20, poll_interval=(0.005, 0.05))
    auditing.on("T")(audit)
    with Workers() as workers, Processes(MEMBERS, launch) as service:
        workers.start(lambda: auditing.run(sessionmaker(engine)), stop=auditing.stop)
        # A consumer that is not registered yet keeps nothing.
        wait_until(lambda: registered(engine) == 2)
        workers.repeat(delete, every=0.05)
        with Writer(engine, "order", streams=STREAMS, seed=SEED + 1, every=0.05) as writer:
            for number, what in enumerate(dealt(DISTURBANCES, SECONDS, chance)):
                service.disturb(what, chance)
                if number % 2:
                    # However slowly processes start here, the group recovers now and then.
                    wait_until(partial(has_more, during, sum(during)), PATIENCE)
                workers.check()
        written = writer.written
        wait_until(lambda: messages_left(engine) == 0, PATIENCE)
        service.stop()

    with engine.connect() as connection:
        assert list(connection.scalars(text("SELECT number FROM early"))) == []
        rows = connection.execute(text("SELECT stream, number FROM effects ORDER BY id"))
        effects = [(stream, number) for stream, number in rows]
        audited = list(connection.scalars(text("SELECT number FROM audited ORDER BY number")))
    assert len(written) > SECONDS * 10
    assert sorted(number for _, number in effects) == written
    assert audited == written
    by_stream: dict[str, list[int]] = defaultdict(list)
    for stream, number in effects:
        by_stream[stream].append(number)
    assert all(numbers == sorted(numbers) for numbers in by_stream.values())
    assert sum(during) == len(written)
    assert admin.verify(engine).differences == []
