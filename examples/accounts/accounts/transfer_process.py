"""The process manager of transfers: it sends commands to accounts, and handles their replies."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, sessionmaker
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from accounts.account import (
    CancelDeposit,
    Deposit,
    DepositCanceled,
    Deposited,
    Withdraw,
    WithdrawalRejected,
    Withdrawn,
    account_types,
)
from accounts.open_transfers import OpenTransfer
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
from mdb_sqla import (
    Consumer,
    Message,
    StoredMessage,
    StreamName,
    TransactionConflict,
    UnitOfWork,
    WrongExpectedVersion,
)
from mdb_sqla.entities import Entity

__all__ = ["time_out", "transfer_commands", "transfer_replies"]

transfer_commands = Consumer("transfer_commands", "transfer:command", types=transfer_types)
transfer_replies = Consumer("transfer_replies", "transfer:reply", types=account_types)


@transfer_commands.on(TransferMoney)
def initiate(command: TransferMoney, message: StoredMessage, unit: UnitOfWork) -> None:
    transfer = entity_of(message, unit)
    if transfer.state.status == "new":
        initiated = Initiated(command.source, command.target, command.amount)
        transfer.write(initiated, follow=message)
        withdraw = account_types.message(Withdraw(command.amount)).follow(message)
        send(unit, transfer, command.source, withdraw)


@transfer_replies.on(Withdrawn)
def debited(_event: Withdrawn, message: StoredMessage, unit: UnitOfWork) -> None:
    transfer = entity_of(message, unit)
    transfer.write(Debited(), follow=message)
    unit.session.add(OpenTransfer(id=transfer.id, debited_at=message.time))
    deposit = account_types.message(Deposit(transfer.state.amount)).follow(message)
    send(unit, transfer, transfer.state.target, deposit)


@transfer_replies.on(WithdrawalRejected)
def rejected(_event: WithdrawalRejected, message: StoredMessage, unit: UnitOfWork) -> None:
    entity_of(message, unit).write(Failed("insufficient funds"), follow=message)


@transfer_replies.on(Deposited)
def deposited(event: Deposited, message: StoredMessage, unit: UnitOfWork) -> None:
    transfer = entity_of(message, unit)
    # After a time-out, the deposit is being canceled; and a refund needs no confirmation.
    if transfer.state.status == "debited":
        transfer.write(Completed(), follow=message)
        unit.session.execute(delete(OpenTransfer).where(OpenTransfer.id == transfer.id))


@transfer_replies.on(DepositCanceled)
def canceled(_event: DepositCanceled, message: StoredMessage, unit: UnitOfWork) -> None:
    transfer = entity_of(message, unit)
    transfer.write(Refunded(), follow=message)
    refund = account_types.message(Deposit(transfer.state.amount)).follow(message)
    send(unit, transfer, transfer.state.source, refund)


@retry(
    retry=retry_if_exception_type((WrongExpectedVersion, TransactionConflict)),
    stop=stop_after_attempt(10),
    wait=wait_random_exponential(multiplier=0.01, max=1),
    reraise=True,
)
def time_out(factory: sessionmaker[Session], before: datetime) -> int:
    """Cancel the transfers that were debited before a time and not confirmed since.

    A reply that arrives at the same time changes the stream of the transfer, and the commit is
    rejected; on the next attempt, the transfer is completed.

    Returns:
        The number of transfers that were canceled.
    """
    with UnitOfWork(factory, types=account_types) as unit:
        overdue = select(OpenTransfer).where(OpenTransfer.debited_at < before)
        rows = unit.session.scalars(overdue).all()
        for row in rows:
            transfer = transfers.get(unit, row.id)
            transfer.write(TimedOut())
            cancel = account_types.message(CancelDeposit(transfer.state.amount))
            send(unit, transfer, transfer.state.target, cancel)
            unit.session.delete(row)
        unit.commit()
    return len(rows)


def entity_of(message: StoredMessage, unit: UnitOfWork) -> Entity[Transfer]:
    """Return the transfer that a command or a reply is for."""
    return transfers.get(unit, StreamName(message.stream_name).id)


def send(unit: UnitOfWork, transfer: Entity[Transfer], account: str, command: Message) -> None:
    """Write a command to an account, which replies to the transfer."""
    reply_stream = StreamName.build("transfer", transfer.id, types="reply")
    unit.write(
        StreamName.build("account", account, types="command"),
        command.with_reply_stream(reply_stream),
    )
