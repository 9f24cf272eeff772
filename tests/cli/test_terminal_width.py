"""What is printed fits a terminal of 80 columns, and pipes get the same values."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from rich.cells import cell_len
from sqlalchemy import URL, create_engine

from mdb_sqla import Message, MessageStore
from mdb_sqla.cli.options import errors, output
from tests.cli.in_process import run
from tests.cli.realistic_store import BLOCKED, COMMAND, ID, MEMBER, ORDER, fill
from tests.conftest import Databases

COMMANDS = {
    "print": (ORDER, COMMAND, BLOCKED, "CancelSubscriptionAtPeriodEnd"),
    "print --verbose": (ORDER, str(ID)),
    "print order --type OrderPlaced": ("12,345,679",),
    "report stream": (ORDER, COMMAND, BLOCKED),
    "report type": ("CancelSubscriptionAtPeriodEnd",),
    "report stream-type": (ORDER, COMMAND, "CancelSubscriptionAtPeriodEnd"),
    "report type-stream": (ORDER, COMMAND, "CancelSubscriptionAtPeriodEnd"),
    "report category-type": ("subscription:command",),
    "report type-category": ("subscription:command",),
    "summary": ("subscription:command",),
    "consumers": ("order-fulfillment", "payment-reconciliation", MEMBER),
    "consumers --verbose": ("subscription:command", "PaymentRefunded"),
    "dead-letters list": (BLOCKED, "LookupError: no invoice with this reference"),
    "dead-letters replay payment-reconciliation": ("payment-reconciliation",),
    "verify": ("No problems found.",),
    "benchmark --messages 1000": ("get_stream_messages",),
    "metrics --once": ("mdb_sqla_store_up 1.0",),
    "version": ("Message store 1.3.0",),
    "lock-granularity": ("stream",),
    "upgrade": ("up to date",),
    "write order-1 Placed": ("order-1",),
    "export order": (),
    f"erase {ORDER} --reason request --yes": (ORDER,),
    "protect on": ("Messages are protected",),
    "protect off": ("Messages are not protected",),
    "reset-consumer order-fulfillment --start 12,345,679": ("12,345,679",),
    "pause-consumer payment-reconciliation": ("payment-reconciliation",),
    "consumers  ": ("is paused since",),
    "resume-consumer payment-reconciliation": ("payment-reconciliation",),
    "operations": ("reset_consumer", "set_protection", "pause_consumer"),
    "retention set subscription:command --forget-versions": ("subscription:command",),
    "retention set payment --keep-age 30d --keep-last 1000": ("1,000 messages",),
    "retention set order --keep-last 1": ("the last message of each stream",),
    "retention list": ("subscription:command", "payment"),
    "retention run --dry-run": ("held back: consumer order-fulfillment is at 12,345,678",),
    "retention run --ignore-consumer order-fulfillment": ("held back: consumer payment-",),
    "retention delete order": ("order",),
    "projections list": ("No projections.",),
    "clear --yes --reset-consumers": ("messages",),
    "delete-consumer payment-reconciliation": ("payment-reconciliation",),
    "consumers ": ("order-fulfillment",),
    "downgrade --delete-consumers --delete-retention --delete-operations": ("Removed the store",),
}


@pytest.fixture(scope="module")
def shop(databases: Databases, template: URL) -> Iterator[URL]:
    """A database whose name is as short as an application's."""
    name = f"shop_{os.getpid()}"
    databases.execute(f'CREATE DATABASE {name} TEMPLATE "{template.database}"')
    try:
        url = template.set(database=name)
        engine = create_engine(url)
        fill(engine)
        engine.dispose()
        yield url
    finally:
        databases.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def _open_writer(database: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A transaction that is open for long enough to be shown."""
    monkeypatch.setattr("mdb_sqla.consumers.open_transactions.LONG", 0.0)
    engine = create_engine(database, connect_args={"application_name": "order-fulfillment"})
    with engine.connect() as connection:
        MessageStore(connection).write(ORDER, Message("OrderPlaced"))
        yield
    engine.dispose()


@pytest.fixture
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    for console in (output, errors):
        monkeypatch.setattr(console, "width", 80)


def printed(command: str, url: URL) -> list[str]:
    environment = {"MDB_DATABASE_URL": url.render_as_string(hide_password=False), "COLUMNS": "80"}
    done = run(command.split(), environment)
    assert done.returncode == 0, done.stderr
    return f"{done.stdout}\n{done.stderr}".splitlines()


# In this order: the last ones change the store.
@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_longer_and_no_name_is_cut(shop: URL, command: str) -> None:
    lines = printed(command, shop)

    # Lines for programs.
    if not command.startswith(("export", "metrics")):
        assert [line for line in lines if cell_len(line) > 80] == []
    for name in COMMANDS[command]:
        assert any(name in line for line in lines), lines
    assert "…" not in "".join(lines)


@pytest.mark.usefixtures("_narrow", "_open_writer")
@pytest.mark.parametrize("command", ["summary", "consumers", "verify --quick"])
def test_open_transactions(database: URL, command: str) -> None:
    lines = printed(command, database)

    assert any("held back at position" in line for line in lines)
    assert any("to end it: SELECT pg_terminate_backend" in line for line in lines)
    assert [line for line in lines if cell_len(line) > 80] == []
