"""The accounts example: scenarios of its entities, and transfers that end in each way."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from accounts.account import (
    Account,
    CancelDeposit,
    Deposit,
    DepositCanceled,
    Deposited,
    Withdraw,
    WithdrawalRejected,
    Withdrawn,
    account_types,
    accounts,
)
from accounts.account_commands import account_commands
from accounts.open_transfers import Base, OpenTransfer
from accounts.transfer import (
    Completed,
    Debited,
    Failed,
    Initiated,
    Refunded,
    TimedOut,
    Transfer,
    TransferMoney,
    transfer_types,
    transfers,
)
from accounts.transfer_process import time_out, transfer_commands, transfer_replies
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import UnitOfWork
from mdb_sqla.testing import Scenario, catch_up, expect_messages

EXAMPLE = Path(__file__).parents[2] / "examples" / "accounts"
CONSUMERS = (transfer_commands, account_commands, transfer_replies)


@pytest.fixture
def factory(engine: Engine) -> sessionmaker[Session]:
    Base.metadata.create_all(engine)
    factory = sessionmaker(engine)
    with UnitOfWork(factory) as unit:
        accounts.get(unit, "ada").execute(Deposit(100))
        unit.commit()
    return factory


def request(factory: sessionmaker[Session], id_: str, command: TransferMoney) -> None:
    with UnitOfWork(factory, types=transfer_types) as unit:
        unit.write(f"transfer:command-{id_}", command)
        unit.commit()


def balance(factory: sessionmaker[Session], id_: str) -> int:
    with factory() as session:
        return accounts.get(session, id_).state.balance


def status(factory: sessionmaker[Session], id_: str) -> str:
    with factory() as session:
        return transfers.get(session, id_).state.status


def test_scenarios_of_an_account(engine: Engine) -> None:
    account = Scenario(accounts).given(Deposited(100))
    withdrawn = account.when(Withdraw(30)).then(Withdrawn(30)).then_state(Account(70))
    withdrawn.run(engine)
    account.when(Withdraw(101)).then(WithdrawalRejected(101)).then_state(Account(100)).run(engine)
    account.when(CancelDeposit(100)).then(DepositCanceled(100)).then_state(Account(0)).run(engine)
    Scenario(accounts).when(Deposit(5)).then(Deposited(5)).run(engine)


def test_every_status_of_a_transfer(engine: Engine) -> None:
    initiated = Initiated("ada", "bob", 30)
    for events, state in [
        ((), Transfer()),
        ((initiated, Failed("x")), Transfer("failed", "ada", "bob", 30)),
        ((initiated, Debited(), Completed()), Transfer("completed", "ada", "bob", 30)),
        (
            (initiated, Debited(), TimedOut(), Refunded()),
            Transfer("refunded", "ada", "bob", 30),
        ),
    ]:
        Scenario(transfers).given(*events).when(lambda _: None).then().then_state(state).run(engine)


def test_a_transfer_is_completed(factory: sessionmaker[Session]) -> None:
    request(factory, "1", TransferMoney("ada", "bob", 30))
    catch_up(factory, *CONSUMERS)

    assert (balance(factory, "ada"), balance(factory, "bob")) == (70, 30)
    with factory() as session:
        expect_messages(
            session,
            "transfer-1",
            [Initiated("ada", "bob", 30), Debited(), Completed()],
            types=transfer_types,
        )
        expect_messages(
            session, "transfer:reply-1", [Withdrawn(30), Deposited(30)], types=account_types
        )
        assert session.get(OpenTransfer, "1") is None


def test_without_enough_money_it_fails(factory: sessionmaker[Session]) -> None:
    request(factory, "1", TransferMoney("ada", "bob", 101))
    catch_up(factory, *CONSUMERS)

    assert status(factory, "1") == "failed"
    assert (balance(factory, "ada"), balance(factory, "bob")) == (100, 0)


def test_a_repeated_request_changes_nothing(factory: sessionmaker[Session]) -> None:
    for _ in range(2):
        request(factory, "1", TransferMoney("ada", "bob", 30))
    catch_up(factory, *CONSUMERS)

    assert (balance(factory, "ada"), balance(factory, "bob")) == (70, 30)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_time_out_returns_the_money(factory: sessionmaker[Session], is_late: bool) -> None:
    request(factory, "1", TransferMoney("ada", "bob", 30))
    # The account of Bob does not reply, or its reply is not handled in time.
    for consumer in (*CONSUMERS, account_commands) if is_late else CONSUMERS:
        consumer.catch_up(factory)
    assert status(factory, "1") == "debited"
    assert time_out(factory, datetime.now(UTC) - timedelta(hours=1)) == 0
    assert time_out(factory, datetime.now(UTC) + timedelta(hours=1)) == 1
    assert balance(factory, "ada") == 70
    catch_up(factory, *CONSUMERS)

    assert status(factory, "1") == "refunded"
    assert (balance(factory, "ada"), balance(factory, "bob")) == (100, 0)
    assert time_out(factory, datetime.now(UTC) + timedelta(hours=1)) == 0


def test_time_outs_while_replies_arrive(factory: sessionmaker[Session]) -> None:
    """Whichever transaction is first, no money is lost or created."""
    for number in range(60):
        source, target = random.Random(number).sample(["ada", "bob", "eve"], 2)
        request(factory, str(number), TransferMoney(source, target, 10))
    done = threading.Event()

    def keep_timing_out() -> None:
        while not done.is_set():
            time_out(factory, datetime.now(UTC) + timedelta(hours=1))

    thread = threading.Thread(target=keep_timing_out)
    thread.start()
    try:
        catch_up(factory, *CONSUMERS, limit=10_000)
    finally:
        done.set()
        thread.join()
    time_out(factory, datetime.now(UTC) + timedelta(hours=1))
    catch_up(factory, *CONSUMERS, limit=10_000)

    assert sum(balance(factory, id_) for id_ in ("ada", "bob", "eve")) == 100
    ends = {status(factory, str(number)) for number in range(60)}
    assert ends <= {"completed", "failed", "refunded"}
    assert "refunded" in ends


def test_the_command(engine: Engine) -> None:
    environment = {
        **os.environ,
        "ACCOUNTS_DATABASE_URL": engine.url.render_as_string(hide_password=False),
    }
    output = subprocess.run(
        [sys.executable, "-W", "error", "-m", "accounts"],
        cwd=EXAMPLE,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout

    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert output.splitlines() == [
        "ada: 70.00",
        "bob: 30.00",
        "transfer 1: completed",
        "transfer 2: failed",
        "transfer 3: refunded",
    ]
    assert all(f"    {line}\n" in readme for line in output.splitlines())
