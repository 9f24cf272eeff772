"""A store with names, positions and consumers as long as those of applications."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Consumer, Group, Message, MessageStore, RetryPolicy
from mdb_sqla.consumers.group import Membership

ORDER = "order-3f2b8c1e-9d47-4a6b-8e15-7c90d2a4b6f8"
COMMAND = "subscription:command-0b9f6a52-17c3-4e8d-a2f4-5d6c7b8a9e01"
BLOCKED = "payment-77aa21c0-5b1d-4c3f-9e2a-1f0e9d8c7b6a"
MEMBER = "fulfillment-6d4cf56db6-x2x8p"
ID = UUID("01a21188-c9ff-760f-a80a-4e329a443c56")


def fill(engine: Engine) -> None:
    """Write messages, run consumers, and dead-letter one message and the next of its stream."""
    with engine.begin() as connection:
        connection.execute(
            text("SELECT setval('message_store.messages_global_position_seq', 12345678)")
        )
        store = MessageStore(connection)
        store.write(ORDER, Message("OrderPlaced", {"total": "49.90"}, {"userId": 7}, id=ID))
        store.write(COMMAND, Message("CancelSubscriptionAtPeriodEnd", {"reason": "price"}))
        store.write(BLOCKED, [Message("PaymentReceived"), Message("PaymentRefunded")])
    factory = sessionmaker(engine)
    fulfillment = Consumer(
        "order-fulfillment", "order", "order:command", group=Group(slots=4, member=MEMBER)
    )
    fulfillment.on("OrderPlaced")(lambda message, unit: None)
    fulfillment.catch_up(factory)
    with Session(engine) as session:
        member = Membership("order-fulfillment", Group(slots=4, member=MEMBER))
        member.join(session)
        session.commit()
        member.share(session, {}, lambda session, slot: 0)
        session.commit()
    reconciliation = Consumer(
        "payment-reconciliation", "payment", "order", "subscription:command",
        on_failure="dead_letter", retry_policy=RetryPolicy(max_attempts=1),
    )  # fmt: skip
    reconciliation.on("PaymentReceived", "PaymentRefunded")(_reconcile)
    reconciliation.catch_up(factory)
    with engine.begin() as connection:
        MessageStore(connection).write(ORDER, [Message("OrderShipped")] * 3)


def _reconcile(message: object, unit: object) -> None:
    raise LookupError("no invoice with this reference")
