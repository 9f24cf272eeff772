"""The component that executes the commands of accounts, and replies to them."""

from __future__ import annotations

from accounts.account import CancelDeposit, Deposit, Withdraw, account_types, accounts
from mdb_sqla import Consumer, StoredMessage, StreamName, UnitOfWork

__all__ = ["account_commands"]

account_commands = Consumer(
    "account_commands", "account:command", types=account_types, transaction_size=100
)


@account_commands.on(Deposit, Withdraw, CancelDeposit)
def execute(
    command: Deposit | Withdraw | CancelDeposit, message: StoredMessage, unit: UnitOfWork
) -> None:
    account = accounts.get(unit, StreamName(message.stream_name).id)
    events = account.execute(command, follow=message)
    if "replyStreamName" in message.metadata:
        for event in events:
            unit.write(*account_types.message(event).reply(message))
