"""An import while others write, or change the store."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, func, select, text

from mdb_sqla import Message, MessageStore, StoreBusy, StoreRewound
from mdb_sqla.admin.message_removal import clear
from mdb_sqla.tables import messages
from mdb_sqla.transfer import message_import as importing_module
from mdb_sqla.transfer.message_import import Imported, import_lines
from tests.cli.running import write
from tests.transfer.conftest import LINE, lines


def test_no_one_can_write_between(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing_module, "_MAX_MESSAGES", 1)

    def intrude(_: Imported) -> None:
        with engine.begin() as other:
            MessageStore(other).write("b-1", Message("T"))

    with engine.connect() as connection:
        with pytest.raises(StoreBusy, match="others have written"):
            import_lines(connection, lines({}), intrude)
        assert connection.scalar(select(func.max(messages.c.global_position))) == 8


def test_positions_that_were_drawn_in_vain(engine: Engine) -> None:
    draw = select(func.setval("message_store.messages_global_position_seq", 7))
    with engine.begin() as connection:
        connection.execute(draw)

    refusal = pytest.raises(StoreBusy, match=r"Can't preserve global position 7: .* up to 7")
    with engine.connect() as connection, refusal:
        import_lines(connection, lines())


def test_an_import_waits_for_writers(engine: Engine) -> None:
    """One that has written, but not yet committed: the store is not empty."""
    done = []

    def run() -> None:
        with engine.connect() as connection:
            done.append(import_lines(connection, lines()))

    thread = threading.Thread(target=run)
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND database = "
                 "(SELECT oid FROM pg_database WHERE datname = current_database())")  # fmt: skip
    with engine.begin() as writer:
        MessageStore(writer).write("a-1", Message("T"))
        thread.start()
        while not writer.scalar(waits):
            assert thread.is_alive()
    thread.join(60)

    assert done == [Imported(1, 0, False)]


def test_an_import_does_not_wait_for_ever(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """For who writes after it waits for it."""
    monkeypatch.setattr("mdb_sqla.transfer.original_position_insert._LOCK_TIMEOUT", 0.1)
    with engine.begin() as writer:
        MessageStore(writer).write("a-1", Message("T"))
        refusal = pytest.raises(StoreBusy, match=r"other open write transactions .* 0\.1 s")
        with engine.connect() as connection, refusal:
            import_lines(connection, lines())

    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(messages)) == 1


@pytest.mark.parametrize("others", [0, 1])
def test_an_import_into_a_store_that_is_cleared_meanwhile(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """What was written is gone, whether it has kept its global positions or not."""
    monkeypatch.setattr(importing_module, "_MAX_MESSAGES", 1)
    write(engine.url, *[("b-1", "T")] * others)

    def clear_it(_: Imported) -> None:
        with engine.begin() as other:
            clear(other)

    with engine.connect() as connection:
        with pytest.raises(StoreRewound, match=str(LINE["id"])):
            import_lines(connection, lines({}), clear_it)
        assert import_lines(connection, lines({})).written == 2


def test_an_import_that_was_disturbed_does_not_go_on_at_other_positions_unasked(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing_module, "_MAX_MESSAGES", 1)

    def intrude(_: Imported) -> None:
        write(engine.url, ("b-1", "T"))

    with engine.connect() as connection:
        with pytest.raises(StoreBusy, match="others have written"):
            import_lines(connection, lines({}), intrude)
        with pytest.raises(
            StoreBusy, match=r"preserved global positions up to 7, .* --new-positions"
        ):
            import_lines(connection, lines({}))
        assert import_lines(connection, lines({}), new_positions=True) == Imported(1, 1, False)
