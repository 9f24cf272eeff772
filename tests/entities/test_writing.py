"""What entities write is pending until commit, and is in their state at once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    AppendConditionFailed,
    Consumer,
    FoldFailed,
    InvalidArgument,
    InvalidMessage,
    Message,
    MessageStore,
    NotCommitted,
    Query,
    StoredMessage,
    UnitOfWork,
    WrongExpectedVersion,
)
from mdb_sqla.entities import EntityStore, apply
from mdb_sqla.testing import expect_messages
from tests.entities.accounts import (
    Account,
    Balance,
    Closed,
    Deposited,
    InsufficientFunds,
    Noted,
    Withdraw,
    Withdrawn,
    accounts,
    balances,
    deposit,
    read,
    types,
)


def test_it_is_written_on_commit(engine: Engine) -> None:
    store = accounts()
    with UnitOfWork(sessionmaker(engine)) as unit:
        account = store.get(unit, 1)
        pending = account.write(Deposited(Decimal(100)), Noted("rent"))
        account.write(Withdrawn(Decimal(30)))
        other = store.get(unit, 2)
        other.write(Deposited(Decimal(30)))
        assert (account.state.balance, account.version) == (Decimal(70), 2)
        assert unit.store.version("account-1") == -1
        with pytest.raises(NotCommitted):
            _ = pending.position
        unit.commit()
        assert [each.position for each in pending.positions] == [0, 1]
    assert (account.state.balance, account.version) == (Decimal(70), 2)

    with Session(engine) as session:
        expect_messages(
            session,
            "account-1",
            [Deposited(Decimal(100)), Noted("rent"), Withdrawn(Decimal(30))],
            types=types,
        )
        expect_messages(session, "account-2", [Deposited(Decimal(30))], types=types)


def test_what_is_not_committed_is_not_written(engine: Engine) -> None:
    with UnitOfWork(sessionmaker(engine)) as unit:
        accounts().get(unit, 1).write(Deposited(Decimal(1)))

    assert read(engine, accounts()) == (Account(), -1)


def test_a_stream_that_has_changed(engine: Engine) -> None:
    store, factory = accounts(), sessionmaker(engine)
    deposit(engine, 1)
    with UnitOfWork(factory) as unit:
        account = store.get(unit, 1)
        account.write(Deposited(Decimal(2)))
        account.write(Deposited(Decimal(3)))
        deposit(engine, 4)
        with pytest.raises(WrongExpectedVersion) as caught:
            unit.commit()
    assert (caught.value.expected_version, caught.value.stream_version) == (0, 1)
    assert read(engine, store)[0].history == [1, 4]


def test_a_stream_that_was_only_read(engine: Engine) -> None:
    store, factory = accounts(), sessionmaker(engine)
    for changes in (False, True):
        with UnitOfWork(factory) as unit:
            store.get(unit, 1).expect()
            store.get(unit, 2).write(Deposited(Decimal(1)))
            if changes:
                deposit(engine, 1)
                with pytest.raises(WrongExpectedVersion):
                    unit.commit()
            else:
                unit.commit()


def test_to_expect_what_was_written(engine: Engine) -> None:
    with UnitOfWork(sessionmaker(engine)) as unit:
        account = accounts().get(unit, 1)
        account.write(Deposited(Decimal(1)))
        account.expect()
        unit.commit()
    assert read(engine, accounts())[1] == 0


def test_commands(engine: Engine) -> None:
    store = balances()
    deposit(engine, 100)
    with UnitOfWork(sessionmaker(engine)) as unit:
        balance = store.get(unit, 1)
        assert balance.execute(Withdraw(Decimal(30))) == [Withdrawn(Decimal(30))]
        assert balance.execute(Withdraw(Decimal(0))) == []
        with pytest.raises(InsufficientFunds):
            balance.execute(Withdraw(Decimal(71)))
        unit.commit()

    assert read(engine, store) == (Balance(Decimal(70)), 1)


@pytest.mark.parametrize(
    ("decided", "number"),
    [
        (None, 0),
        ([], 0),
        (Closed(), 1),
        (Message("Closed"), 1),
        ((Closed(), Closed()), 2),
        (iter([Closed()]), 1),
    ],
)
def test_what_a_decision_may_return(engine: Engine, decided: Any, number: int) -> None:
    store = EntityStore("account", Account, decide=lambda *_: decided, types=types)
    with UnitOfWork(sessionmaker(engine)) as unit:
        assert len(store.get(unit, 1).execute(None)) == number
        unit.commit()
    assert read(engine, store)[1] == number - 1


@pytest.mark.parametrize("decided", ["Closed", 7, {"text": "x"}])
def test_what_a_decision_must_not_return(engine: Engine, decided: Any) -> None:
    store = EntityStore("account", Account, decide=lambda *_: decided, types=types)
    with (
        Session(engine) as session,
        pytest.raises(InvalidArgument, match="decide must return an event, a list"),
    ):
        store.get(session, 1).execute(None)


def test_a_decision_across_entities(engine: Engine) -> None:
    store, factory = balances(), sessionmaker(engine)
    deposit(engine, 100)
    deposit(engine, 100, stream="account-2")
    # The class of a type is one of the store's message types, not of the unit of work's.
    withdrawn = Query(categories=["account"], types=[Withdrawn], tags=["branch:7"])

    def withdraw(id_: str, after: int) -> None:
        with UnitOfWork(factory) as unit:
            store.get(unit, id_).execute(
                Withdraw(Decimal(10)), tags=["branch:7"], unless=withdrawn.after(after)
            )
            unit.commit()

    withdraw("1", 0)
    with pytest.raises(AppendConditionFailed) as raised:
        withdraw("2", 0)
    withdraw("2", raised.value.global_position or 0)
    with Session(engine) as session:
        first, last = MessageStore(session, types=types).read(withdrawn)
    assert [first.stream_name, last.stream_name] == ["account-1", "account-2"]
    assert raised.value.global_position == first.global_position
    assert last.metadata["tags"] == ["branch:7"]


def test_tags_are_in_addition_to_those_of_the_message(engine: Engine) -> None:
    with UnitOfWork(sessionmaker(engine)) as unit:
        account = accounts().get(unit, 1)
        account.write(types.message(Closed()).with_tags("a"), Noted("x"), tags=["b"])
        unit.commit()
        closed, noted = unit.store.read_stream("account-1")
    assert (closed.metadata["tags"], noted.metadata["tags"]) == (["a", "b"], ["b"])


def test_without_a_decision(engine: Engine) -> None:
    with Session(engine) as session, pytest.raises(InvalidArgument, match="has no decide="):
        accounts().get(session, 1).execute(Withdraw(Decimal(1)))


def test_events_follow_the_message_that_caused_them(engine: Engine) -> None:
    store = balances()
    deposit(engine, 100)
    with Session(engine) as session, session.begin():
        command = Message("Withdraw", {"amount": "30"}).with_correlation("transfer-1")
        MessageStore(session).write("account:command-1", command)
    consumer = Consumer("commands", "account:command")

    @consumer.on("Withdraw")
    def withdraw(message: StoredMessage, unit: UnitOfWork) -> None:
        withdraw = Withdraw(Decimal(message.data["amount"]))
        store.get(unit, 1).execute(withdraw, follow=message)

    consumer.catch_up(sessionmaker(engine))

    with Session(engine) as session:
        metadata = {
            "causationMessageStreamName": "account:command-1",
            "correlationStreamName": "transfer-1",
        }
        expect_messages(
            session, "account-1", [Message("Withdrawn", {"amount": "30"}, metadata)], position=1
        )


def test_a_message_with_its_own_id_is_written_once(engine: Engine) -> None:
    message = types.message(Deposited(Decimal(1)))
    for _ in range(2):
        with UnitOfWork(sessionmaker(engine)) as unit:
            accounts().get(unit, 1).write(message)
            unit.commit()
    assert read(engine, accounts())[1] == 0


def test_a_transaction_has_one_of_each(engine: Engine) -> None:
    store, other = accounts(), accounts()
    with Session(engine) as session:
        account = store.get(session, 1)
        account.write(Deposited(Decimal(1)))
        assert store.get(UnitOfWork.of(session), 1) is account
        assert store.get(session, 2) is not account
        assert other.get(session, 1) is not account
        session.commit()
        assert store.get(session, 1) is not account


def test_a_batch_of_a_consumer_continues_from_what_is_pending(engine: Engine) -> None:
    store = accounts()
    with Session(engine) as session, session.begin():
        MessageStore(session).write("account:command-1", [Message("Pay") for _ in range(50)])
    consumer = Consumer("commands", "account:command", transaction_size=50)

    @consumer.on("Pay")
    def pay(message: StoredMessage, unit: UnitOfWork) -> None:
        store.get(unit, 1).write(Deposited(Decimal(1)))

    consumer.catch_up(sessionmaker(engine))

    assert read(engine, store)[0].balance == 50


def test_a_transaction_that_has_ended(engine: Engine) -> None:
    with Session(engine) as session:
        account = accounts().get(session, 1)
        session.commit()
        assert account.version == -1
        for use in (lambda: account.write(Closed()), account.expect):
            with pytest.raises(InvalidArgument, match="in a transaction that has ended"):
                use()


def test_a_rollback_to_a_savepoint(engine: Engine) -> None:
    store = accounts()
    with Session(engine) as session:
        account = store.get(session, 1)
        account.write(Deposited(Decimal(1)))
        savepoint = session.begin_nested()
        account.write(Deposited(Decimal(2)))
        savepoint.rollback()

        for use in (lambda: account.state, lambda: account.version, account.expect):
            with pytest.raises(InvalidArgument, match="Its events were rolled back"):
                use()
        # What was written before the savepoint is still pending.
        again = store.get(session, 1)
        assert (again.state.history, again.version) == ([Decimal(1)], 0)
        again.write(Deposited(Decimal(3)))
        session.commit()
    assert read(engine, store)[0].history == [1, 3]


def test_a_rollback_to_a_savepoint_before_all_writes(engine: Engine) -> None:
    store = accounts()
    with Session(engine) as session:
        account = store.get(session, 1)
        savepoint = session.begin_nested()
        account.write(Deposited(Decimal(2)))
        savepoint.rollback()
        again = store.get(session, 1)
        assert again is not account
        assert again.state.balance == 0
        with session.begin_nested():
            again.write(Deposited(Decimal(3)))
        assert again.state.balance == 3
        session.commit()
        assert again.state.balance == 3
    assert read(engine, store)[0].history == [3]


def test_a_transaction_that_was_rolled_back(engine: Engine) -> None:
    with Session(engine) as session:
        account = accounts().get(session, 1)
        account.write(Deposited(Decimal(1)))
        session.rollback()
        with pytest.raises(InvalidArgument, match="Its events were rolled back"):
            _ = account.state


def test_an_event_that_can_not_be_applied(engine: Engine) -> None:
    class Strict:
        def __init__(self) -> None:
            self.count = 0

        @apply(Deposited)
        def deposited(self, event: Deposited) -> None:
            self.count += 1
            if event.amount < 0:
                raise ValueError("negative")

    store = EntityStore("account", Strict, types=types)
    with Session(engine) as session:
        strict = store.get(session, 1)
        with pytest.raises(FoldFailed, match=r"position 1 of stream account-1.*negative"):
            strict.write(Deposited(Decimal(1)), Deposited(Decimal(-1)))
        # Its state may have some of the events.
        with pytest.raises(InvalidArgument, match="A write to it has failed"):
            _ = strict.state
        assert store.get(session, 1).state.count == 0
        session.commit()
    assert read(engine, store)[1] == -1


def test_what_is_no_event_changes_nothing(engine: Engine) -> None:
    with Session(engine) as session:
        account = accounts().get(session, 1)
        wrong: Any = "a lot"
        for events, error in [
            ((), InvalidArgument),
            ((Closed(), Withdraw(Decimal(1))), InvalidArgument),
            ((Closed(), Deposited(wrong)), InvalidMessage),
        ]:
            with pytest.raises(error):
                account.write(*events)
        assert account.state == Account()
        account.write(Closed())
        session.commit()


def test_the_state_is_what_a_later_read_returns(engine: Engine) -> None:
    """An int is a valid amount, but is read as a Decimal."""
    amount: Any = 1
    with UnitOfWork(sessionmaker(engine)) as unit:
        account = accounts().get(unit, 1)
        account.write(Deposited(amount))
        assert isinstance(account.state.history[0], Decimal)
