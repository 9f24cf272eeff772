"""A tour of the store for `mdb demo`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import migrations, tables
from mdb_sqla.errors import WrongExpectedVersion
from mdb_sqla.outbox.unit_of_work import UnitOfWork
from mdb_sqla.words.message import Message, StoredMessage
from mdb_sqla.words.stream_name import NO_STREAM

__all__ = ["run"]


def run(engine: Engine, output: Console) -> None:
    """Install a store, and demonstrate writes, expected versions, reads and reports."""
    factory = sessionmaker(engine)

    output.rule("Install")
    for revision in migrations.upgrade(engine):
        output.print(f"Applied {revision}.")

    output.rule("Rows and messages in one transaction")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE accounts (id int PRIMARY KEY, balance int)"))
    with UnitOfWork(factory) as unit:
        unit.session.execute(text("INSERT INTO accounts VALUES (1, 0)"))
        opened = unit.write("account-1", Message("Opened"), expected_version=NO_STREAM)
        unit.commit()
    output.print(f"Inserted an account and wrote Opened at position {opened.position}.")
    for amount in (100, -30, 15):
        with UnitOfWork(factory) as unit:
            unit.session.execute(
                text("UPDATE accounts SET balance = balance + :amount"), {"amount": amount}
            )
            type_ = "Deposited" if amount > 0 else "Withdrawn"
            written = unit.write("account-1", Message(type_, {"amount": abs(amount)}))
            unit.commit()
        output.print(f"Updated the balance and wrote {type_} at position {written.position}.")
    with UnitOfWork(factory) as unit:
        unit.session.execute(text("UPDATE accounts SET balance = -1"))
        unit.write("account-1", Message("Withdrawn", {"amount": 86}))
    output.print("Left a unit of work without commit(): row and message were rolled back.")

    output.rule("Optimistic concurrency")
    with UnitOfWork(factory) as unit:
        unit.write("account-1", Message("Closed"), expected_version=0)
        try:
            unit.commit()
        except WrongExpectedVersion as error:
            output.print(f"{error}.", markup=False)

    output.rule("Read")
    with UnitOfWork(factory) as unit:
        output.print(_messages(unit.store.read_category("account")))
        balance = unit.session.scalar(text("SELECT balance FROM accounts"))
        output.print(f"The account's row has a balance of {balance}.")

    output.rule("Report")
    report = Table("type", "messages", "percent")
    with engine.connect() as connection:
        for row in connection.execute(select(tables.type_summary)):
            report.add_row(row.type, str(row.message_count), str(row.percent))
    output.print(report)


def _messages(messages: list[StoredMessage]) -> Table:
    table = Table("global position", "stream", "position", "type", "data")
    for message in messages:
        table.add_row(
            str(message.global_position),
            message.stream_name,
            str(message.position),
            message.type,
            str(message.data),
        )
    return table
