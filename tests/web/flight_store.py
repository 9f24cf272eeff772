"""A store with the flights of the example, and consumers in every state."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from typing import Any

from flights import data
from flights.events import message_for, stream_for, what_happened
from flights.maintenance import Inspect, Inspected
from sqlalchemy import Engine, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Group, Message, MessageStore, RetryPolicy, StreamName, admin
from mdb_sqla.retention import set_policy

__all__ = ["AIRCRAFT", "fill"]

AIRCRAFT = "N942MQ"
"""The aircraft with the longest delay, which has many flights in the store."""

_ONCE = RetryPolicy(max_attempts=1)


def fill(engine: Engine) -> None:
    """Write flights, and run consumers that handle them, fail, or are behind."""
    flights = [
        flight
        for number, flight in enumerate(_flights())
        if number < 400 or flight.tail_number == AIRCRAFT
    ]
    half = len(flights) // 2
    factory = sessionmaker(engine)
    _write(engine, flights[:half])
    _punctuality().catch_up(factory)
    _write(engine, flights[half:])
    for consumer in (_fleet(), _maintenance(), _airports(), _charges()):
        consumer.catch_up(factory)
    with engine.begin() as connection:
        _spread_over_the_last_hour(connection)
        _join_groups(connection)
        set_policy(connection, "aircraft", keep_age=timedelta(days=365))
        set_policy(connection, "airline", keep_last=1)
        set_policy(connection, "maintenance:command")
        admin.pause_consumer(connection, "airports", by="night shift")
        admin.record_operation(connection, "verify", details={"problems": 0})
        connection.execute(text("ANALYZE message_store.messages"))


def _flights() -> list[data.Flight]:
    """The flights of the first week of January; read_flights() would read those of a year."""
    rows = islice(data._rows(), 5_000)
    return [data._flight(row) for row in sorted(rows, key=data._departure)]


def _write(engine: Engine, flights: list[data.Flight]) -> None:
    with engine.begin() as connection:
        MessageStore(connection).write_messages(
            [
                (stream_for(flight), message_for(event, flight))
                for flight in flights
                for event in what_happened(flight)
            ]
        )


def _punctuality() -> Consumer:
    consumer = Consumer("punctuality", "aircraft", "airline", transaction_size=100)
    consumer.on()(lambda message, unit: None)
    return consumer


def _airports() -> Consumer:
    consumer = Consumer("airports", "aircraft", transaction_size=100)
    consumer.on("Departed", "Arrived")(lambda message, unit: None)
    return consumer


def _fleet() -> Consumer:
    arrivals: Counter[str] = Counter()
    consumer = Consumer("fleet", "aircraft", group=Group(slots=2), transaction_size=100)

    @consumer.on("Arrived")
    def arrived(message: Any, unit: Any) -> None:
        tail_number = StreamName(message.stream_name).ids[0]
        arrivals[tail_number] += 1
        if arrivals[tail_number] % 2 == 0:
            command = Message("Inspect", asdict(Inspect(arrivals[tail_number]))).follow(message)
            unit.write(StreamName.build("maintenance", tail_number, types="command"), command)

    return consumer


def _maintenance() -> Consumer:
    consumer = Consumer(
        "maintenance",
        "maintenance:command",
        group=Group(slots=4, member="hangar-a"),
        transaction_size=100,
    )

    @consumer.on("Inspect")
    def inspect(message: Any, unit: Any) -> None:
        tail_number = StreamName(message.stream_name).ids[0]
        event = Inspected(message.data["arrivals"], "hangar-a")
        unit.write(
            StreamName.build("maintenance", tail_number),
            Message("Inspected", asdict(event)).follow(message),
        )

    return consumer


def _charges() -> Consumer:
    tariff = {"JFK": 52_500, "EWR": 41_200}
    consumer = Consumer(
        "charges",
        "aircraft",
        retry_policy=_ONCE,
        on_failure="dead_letter",
        transaction_size=100,
    )

    @consumer.on("Departed")
    def departed(message: Any, unit: Any) -> None:
        if message.data["delay"] > 60:
            raise OverflowError(f"A delay of {message.data['delay'] // 60} hours is not charged")
        if message.data["destination"] in {"MSP", "MYR"}:
            tariff[message.data["destination"]]

    @consumer.on("Cancelled")
    def cancelled(message: Any, unit: Any) -> None:
        raise ValueError("No charge for a cancelled flight")

    return consumer


def _spread_over_the_last_hour(connection: Any) -> None:
    """Set the times of messages as if they had been written for an hour, with rush hours."""
    connection.execute(
        text(
            "UPDATE message_store.messages SET time = timezone('utc', now()) - interval '1 s' "
            "- interval '58 min' * (1 - part - sin(12 * part) / 18 + sin(12) / 18 * part) "
            "FROM (SELECT global_position AS at, global_position::float / max(global_position) "
            "OVER () AS part FROM message_store.messages) AS parts WHERE at = global_position"
        )
    )


def _join_groups(connection: Any) -> None:
    """Leave what running processes, and one that was killed, have in the tables."""
    connection.execute(
        text(
            "INSERT INTO message_store.consumer_members "
            "(consumer, member, instance, lease, alive_until) "
            "SELECT consumer, member, gen_random_uuid(), '1 day', now() + life::interval "
            "FROM (VALUES ('maintenance', 'hangar-a', '1 day'), ('maintenance', 'hangar-b', "
            "'-1 min'), ('fleet', 'fleet-1', '-5 min')) AS t (consumer, member, life)"
        )
    )
    connection.execute(
        text(
            "UPDATE message_store.consumer_slots SET owner = 'hangar-a' "
            "WHERE consumer = 'maintenance'"
        )
    )
