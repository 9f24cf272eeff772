"""The command: `python -m accounts`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import UTC, datetime

from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

from accounts.account import Deposit, accounts
from accounts.account_commands import account_commands
from accounts.open_transfers import Base
from accounts.transfer import TransferMoney, transfer_types, transfers
from accounts.transfer_process import time_out, transfer_commands, transfer_replies
from mdb_sqla import UnitOfWork, migrations
from mdb_sqla.embedded import EmbeddedPostgres

CONSUMERS = (transfer_commands, account_commands, transfer_replies)


def main() -> None:
    with ExitStack() as stack:
        url = os.environ.get("ACCOUNTS_DATABASE_URL")
        engine = create_engine(url or stack.enter_context(EmbeddedPostgres()).url())
        stack.callback(engine.dispose)
        migrations.upgrade(engine)
        Base.metadata.create_all(engine)
        run(sessionmaker(engine))


def run(factory: sessionmaker[Session]) -> None:
    with UnitOfWork(factory) as unit:
        accounts.get(unit, "ada").execute(Deposit(100_00))
        unit.commit()

    request(factory, "1", TransferMoney("ada", "bob", 30_00))
    catch_up(factory)
    request(factory, "2", TransferMoney("bob", "ada", 50_00))
    catch_up(factory)

    request(factory, "3", TransferMoney("ada", "bob", 20_00))
    # Bob's account does not confirm the deposit in time.
    for consumer in CONSUMERS:
        consumer.catch_up(factory)
    time_out(factory, before=datetime.now(UTC))
    catch_up(factory)

    with factory() as session:
        for id_ in ("ada", "bob"):
            print(f"{id_}: {accounts.get(session, id_).state.balance / 100:.2f}")
        for id_ in ("1", "2", "3"):
            print(f"transfer {id_}: {transfers.get(session, id_).state.status}")


def request(factory: sessionmaker[Session], id_: str, command: TransferMoney) -> None:
    with UnitOfWork(factory, types=transfer_types) as unit:
        unit.write(f"transfer:command-{id_}", command)
        unit.commit()


def catch_up(factory: sessionmaker[Session]) -> None:
    """Run the consumers until none of them has anything left to handle. A service runs a host."""
    for _ in range(4):
        for consumer in CONSUMERS:
            consumer.catch_up(factory)


if __name__ == "__main__":
    main()
