"""Who holds readers and other writers back: open transactions, and prepared ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Thread

import pytest
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, text
from sqlalchemy.orm import Session

from mdb_sqla import Message, MessageStore, cli, migrations
from mdb_sqla.admin.granularity_switch import set_lock_granularity
from mdb_sqla.consumers.open_transactions import holding_back, open_writers
from mdb_sqla.consumers.open_writer import OpenWriter
from mdb_sqla.tables import SCHEMA
from tests.cli.test_mdb import mdb
from tests.conftest import Databases, Flavour
from tests.ordering.open_writers import commit, found, held_back, pid_of
from tests.waiting import wait_until

Write = Callable[..., Connection]


@pytest.fixture
def write(engine: Engine) -> Iterator[Write]:
    """Writes messages in a transaction that stays open."""
    with ExitStack() as stack:

        def write(*streams: str, on: Engine = engine) -> Connection:
            connection = stack.enter_context(on.connect())
            for stream in streams:
                MessageStore(connection).write(stream, Message("T"))
            return connection

        yield write


def test_a_writer_that_stays_open(engine: Engine, write: Write) -> None:
    set_lock_granularity(engine, "stream")
    commit(engine, "account-1", "shop-1")
    named = create_engine(engine.url, connect_args={"application_name": "billing"})
    writer = write("account-2", on=named)
    pid = pid_of(writer)
    commit(engine, "account-3", "shop-2")

    (told,) = found(engine)

    assert (told.pid, told.gid, told.position) == (pid, None, 2)
    assert (told.application, told.role, told.state) == (
        "billing",
        engine.url.username,
        "idle in transaction",
    )
    assert told.categories == ("account",)
    assert told.query == "SELECT pg_backend_pid()"
    assert told.seconds is not None
    assert 0 < told.seconds < 60
    assert (told.waiting, told.waits_for) == ((), ())
    assert str(told).startswith(
        f'held back at position 2 by pid {pid} (application "billing", role {told.role}, '
    )
    assert "in transaction for 0 s, idle in transaction)" in str(told)
    with engine.connect() as connection:
        (from_reader,) = holding_back(connection, ["account"], 2)
        assert open_writers(connection, at_least=60) == []
        connection.execute(text(told.remedy))
    wait_until(lambda: found(engine) == [])
    assert from_reader.pid == pid
    writer.invalidate()
    named.dispose()


def test_only_readers_that_wait_are_held_back(engine: Engine, write: Write) -> None:
    set_lock_granularity(engine, "stream")
    commit(engine, "account-1", "shop-1")
    writer = write("account-2")
    pid = pid_of(writer)

    # Nothing is committed beyond it, though beyond the reader's position there is.
    assert held_back(engine, ["account"], 0) == []
    assert held_back(engine, ["account"], 1) == []
    assert held_back(engine, [], 2) == []

    commit(engine, "account-3", "shop-2")

    assert held_back(engine, ["account"], 1) == [pid]
    assert held_back(engine, ["account"], 3) == [pid]
    assert held_back(engine, ["account"], 4) == []
    assert held_back(engine, ["shop"], 2) == []
    assert held_back(engine, ["account", "shop"], 2) == [pid]
    assert held_back(engine, [], 2) == [pid]
    writer.rollback()
    assert held_back(engine, [], 2) == []
    assert found(engine) == []


def test_writers_that_wait(engine: Engine, write: Write) -> None:
    """Under `category`: a reader of the category has no lag, for nobody can write to it."""
    set_lock_granularity(engine, "category")
    commit(engine, "account-1")
    writer = write("account-2")
    pid = pid_of(writer)
    commit(engine, "shop-1")
    assert held_back(engine, ["account"], 1) == []
    assert held_back(engine, ["account", "shop"], 1) == [pid]

    waiting = Thread(target=commit, args=(engine, "account-3"))
    waiting.start()
    wait_until(lambda: held_back(engine, ["account"], 1))

    (told,) = found(engine)
    assert held_back(engine, ["account"], 1) == [pid]
    assert held_back(engine, ["shop"], 1) == []
    assert (told.pid, len(told.waiting), told.position) == (pid, 1, 1)
    assert str(told).endswith("; 1 writer waits for it")
    writer.commit()
    waiting.join()
    assert found(engine) == []


def test_one_that_waits_itself(engine: Engine, write: Write) -> None:
    """The end of the chain is another transaction, which has not written a message."""
    commit(engine, "account-1")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE public.orders AS SELECT 1 AS number"))
    with engine.connect() as root:
        root.execute(text("UPDATE public.orders SET number = 2"))
        pid = pid_of(root)
        writer = write("account-2")
        update = Thread(target=writer.execute, args=(text("UPDATE public.orders SET number = 3"),))
        update.start()
        wait_until(lambda: [each.waits_for for each in found(engine)] == [(pid,)])
        assert str(found(engine)[0]).endswith(f"; it waits for pid {pid}")
    update.join()


def test_who_locks_a_category_without_writing(engine: Engine, write: Write) -> None:
    """It has no floor, and holds back those who write to this store, not to another one."""
    with engine.connect() as holder:
        holder.execute(text("SELECT pg_advisory_xact_lock(message_store.hash_64('account'))"))
        pid = pid_of(holder)
        assert found(engine) == []
        waiting = Thread(target=commit, args=(engine, "account-1"))
        waiting.start()
        wait_until(lambda: found(engine))
        (told,) = found(engine)
    waiting.join()

    assert (told.pid, told.position, len(told.waiting)) == (pid, None, 1)
    assert str(told).startswith(f"held back by pid {pid} (")


def test_neither_another_store_nor_another_database(
    engine: Engine, write: Write, databases: Databases, template: URL
) -> None:
    migrations.upgrade(engine, schema="other", lock_granularity="category")
    set_lock_granularity(engine, "category")
    of_other = engine.execution_options(schema_translate_map={SCHEMA: "other"})
    commit(engine, "account-1")
    commit(of_other, "account-1")
    with databases.create(template) as url:
        elsewhere = create_engine(url, poolclass=NullPool)
        in_other, in_elsewhere = write("account-2", on=of_other), write("account-2", on=elsewhere)
        pids = [pid_of(in_other), pid_of(in_elsewhere)]

        assert found(engine) == []
        assert held_back(engine, [], 0) == []
        assert [told.pid for told in found(of_other)] == pids[:1]
        assert [told.pid for told in found(elsewhere)] == pids[1:]

        # A third one waits in the other store: that is nothing to this one either.
        waiting = Thread(target=commit, args=(of_other, "account-3"))
        waiting.start()
        wait_until(lambda: found(of_other)[0].waiting)
        assert found(engine) == []

        # The two stores have the same keys for their categories: here a writer does wait.
        also_waiting = Thread(target=commit, args=(engine, "account-3"))
        also_waiting.start()
        wait_until(lambda: found(engine))
        assert [(told.pid, told.position) for told in found(engine)] == [(pids[0], None)]
        in_other.rollback()
        waiting.join()
        also_waiting.join()
        in_elsewhere.close()


@pytest.mark.parametrize("last", [2**31 - 2, 2**32 - 3, 2**40 + 2**31])
def test_positions_of_more_than_32_bits(engine: Engine, write: Write, last: int) -> None:
    set_lock_granularity(engine, "stream")
    with engine.begin() as connection:
        sequence = "message_store.messages_global_position_seq"
        connection.execute(text(f"SELECT setval('{sequence}', {last})"))
    write("account-1")
    commit(engine, *(f"account-{number}" for number in range(2, 6)))

    assert [told.position for told in found(engine)] == [last]
    assert len(held_back(engine, ["account"], last)) == 1


def test_what_a_role_may_not_see(engine: Engine, write: Write, databases: Databases) -> None:
    migrations.upgrade(engine, roles=True)
    name = f"{engine.url.database}_reader"
    databases.execute(f"CREATE ROLE {name} LOGIN IN ROLE message_store_reader")
    reader = create_engine(engine.url.set(username=name), poolclass=NullPool)
    set_lock_granularity(engine, "stream")
    writer = write("account-1")
    pid = pid_of(writer)
    commit(engine, "account-2")
    try:
        with reader.connect() as connection:
            (told,) = open_writers(connection)
            assert [each.pid for each in holding_back(connection, ["account"], 0)] == [pid]
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {name}"))
        databases.execute(f"DROP ROLE {name}")

    assert (told.pid, told.role, told.position) == (pid, engine.url.username, 0)
    assert (told.query, told.state, told.client, told.seconds) == (None, None, None, None)
    assert "in transaction for an unknown time" in str(told)


def test_a_second_look_in_one_transaction(engine: Engine, write: Write) -> None:
    first = pid_of(write("account-1"))
    with engine.connect() as connection:
        assert [each.pid for each in open_writers(connection, at_least=0)] == [first]
        second = pid_of(write("shop-1", on=create_engine(engine.url, poolclass=NullPool)))
        assert [each.pid for each in open_writers(connection, at_least=0)] == [first, second]


def test_with_any_driver(flavour: Flavour) -> None:
    """It is called over the application's own session, whatever that is."""
    engine = create_engine(flavour.sync_engine.url.set(drivername="postgresql+psycopg"))
    commit(engine, "account-1")

    def look(session: Session) -> tuple[list[OpenWriter], list[OpenWriter]]:
        return open_writers(session, at_least=0), holding_back(session, ["account", "shop"], 0)

    with engine.connect() as writer, flavour.session() as session:
        MessageStore(writer).write("account-2", Message("T"))
        pid = pid_of(writer)
        commit(engine, "shop-1")
        run = session.run_sync if flavour.asynchronous else lambda work: work(session)
        found = flavour.run(run(look))
    engine.dispose()

    assert [[each.pid for each in writers] for writers in found] == [[pid], [pid]]


@pytest.mark.parametrize("command", ["summary", "consumers", "verify"])
def test_commands_show_them(
    engine: Engine,
    write: Write,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def run(*arguments: str) -> str:
        url = engine.url.render_as_string(hide_password=False)
        with pytest.raises(SystemExit) as end:
            cli.main([command, "--url", url, *arguments])
        assert not end.value.code
        return capfd.readouterr().out

    write("account-1")
    pid = found(engine)[0].pid
    assert "pg_terminate_backend" not in run()

    monkeypatch.setattr("mdb_sqla.consumers.open_transactions.LONG", 0.0)
    printed, json = run(), run("--json")

    assert "Open write transactions\n  held back at position 0 by pid" in printed
    assert f"to end it: SELECT pg_terminate_backend({pid});" in printed
    assert f'"pid": {pid},' in json
    assert f'"remedy": "SELECT pg_terminate_backend({pid})"' in json


def test_verify_says_what_it_could_not_look_for(engine: Engine) -> None:
    """A function that is missing is a difference like others, and does not end the command."""
    with engine.begin() as connection:
        connection.execute(text("DROP FUNCTION message_store.last_global_position"))

    told = mdb("verify", "--quick", url=engine.url, code=1)

    assert "last_global_position" in told.stderr
    assert "Skipped: Open transactions: " in told.stdout
