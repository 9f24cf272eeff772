"""An account: its commands, its events, and its state, which methods change."""

from __future__ import annotations

from dataclasses import dataclass

from mdb_sqla import MessageTypes
from mdb_sqla.entities import EntityStore, Snapshots, apply

__all__ = [
    "Account",
    "CancelDeposit",
    "Deposit",
    "DepositCanceled",
    "Deposited",
    "Withdraw",
    "WithdrawalRejected",
    "Withdrawn",
    "account_types",
    "accounts",
]


@dataclass(frozen=True)
class Deposit:
    amount: int  # in cents


@dataclass(frozen=True)
class Withdraw:
    amount: int


@dataclass(frozen=True)
class CancelDeposit:
    """Reverse a deposit. Its command precedes this one, so it has been handled."""

    amount: int


@dataclass(frozen=True)
class Deposited:
    amount: int


@dataclass(frozen=True)
class Withdrawn:
    amount: int


@dataclass(frozen=True)
class WithdrawalRejected:
    amount: int


@dataclass(frozen=True)
class DepositCanceled:
    amount: int


account_types = MessageTypes(
    Deposit, Withdraw, CancelDeposit, Deposited, Withdrawn, WithdrawalRejected, DepositCanceled
)


@dataclass
class Account:
    balance: int = 0

    @apply(Deposited)
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount

    @apply(Withdrawn, DepositCanceled)
    def withdrawn(self, event: Withdrawn | DepositCanceled) -> None:
        self.balance -= event.amount

    @apply(WithdrawalRejected)
    def withdrawal_rejected(self, event: WithdrawalRejected) -> None:
        """Change nothing: the event is only recorded."""


Command = Deposit | Withdraw | CancelDeposit
Event = Deposited | Withdrawn | WithdrawalRejected | DepositCanceled


def decide(command: Command, account: Account) -> Event:
    match command:
        case Deposit(amount):
            return Deposited(amount)
        case Withdraw(amount) if amount > account.balance:
            return WithdrawalRejected(amount)
        case Withdraw(amount):
            return Withdrawn(amount)
        case CancelDeposit(amount):
            return DepositCanceled(amount)


accounts = EntityStore(
    "account",
    Account,
    decide=decide,
    types=account_types,
    snapshots=Snapshots(every=50),
    cache=1000,
)
