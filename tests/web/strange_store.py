"""A store whose names and contents try to be HTML, scripts and styles, or are extreme."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Group, Message, MessageStore, RetryPolicy, admin
from mdb_sqla.erasure import erase_stream
from mdb_sqla.retention import set_policy

__all__ = ["ATTACKS", "MARK", "NAMES", "fill_strangely"]

MARK = "alert('injected')"

ATTACKS = [
    f"<script>{MARK}</script>",
    f'"><img src=x onerror={MARK}>',
    f"'><svg onload={MARK}>",
    "</title></style></textarea><script src=//evil.example/x.js></script>",
    f"javascript:{MARK}",
    "<style>body{display:none}</style>",
    f"<a hx-get=/x hx-trigger=load hx-on:click={MARK}>x</a>",
    "{{ 7 * 7 }}{% raw %}",
]

NAMES = [
    "order/1?a=b&c#d-%20%2F",
    "order-?#&=+;",
    " leading-and trailing ",
    "quotes'\"`-\\x",
    "emoji-🛫🧑‍✈️",
    "rtl-שלום\u202edrow",
    "tab\tand\nnewline-1",
    "dots-../../etc",
    "-7",
    "-",
    "1234",
    "ends-with-",
    "x" * 2_500 + "-" + "🛫" * 625,
]

CONTENTS: dict[str, str | None] = {
    "large": json.dumps({"text": "x" * 5_000_000}),
    "many": json.dumps([{"n": number} for number in range(50_000)]),
    "deep": "[" * 5_000 + "]" * 5_000,
    "folded": '{"a":' * 300 + "1" + "}" * 300,
    "huge": json.dumps({"n": 10**4_000, "e": 1e300}),
    "longer": "9" * 10_000,
    "none": None,
    "null": "null",
    "text": json.dumps(ATTACKS[0]),
    "attack": json.dumps({attack: attack for attack in ATTACKS}),
}

METADATA = [
    '"text"',
    "[1]",
    "7",
    "null",
    '{"causationMessageStreamName": 7}',
    '{"causationMessageStreamName": "a-1", "causationMessagePosition": "x"}',
    '{"causationMessageStreamName": "gone-1", "causationMessagePosition": 3}',
]


def fill_strangely(engine: Engine) -> None:
    """Write messages, run and fail consumers, set policies."""
    with engine.begin() as connection:
        store = MessageStore(connection)
        for number, attack in enumerate(ATTACKS):
            related = {"correlationStreamName": f"{attack}-1", "replyStreamName": attack}
            store.write(f"{attack}-{number}", Message(attack, {attack: attack}, related))
        for name in NAMES:
            _insert(connection, name, f"type of {name[:50]}", json.dumps(name[:50]))
        for name, data in CONTENTS.items():
            _insert(connection, f"content-{name}", name, data)
        for number, time in enumerate(
            ["infinity", "-infinity", "0044-03-15 12:00 BC", "100000-01-01", "0001-01-01"]
        ):
            _insert(connection, f"time-{number}", "T", "{}", time=time)
        for number, metadata in enumerate(METADATA):
            _insert(connection, f"metadata-{number}", "T", "{}", metadata=metadata)
        store.write("person-1", Message("Registered", {"name": "Ada"}))
        erase_stream(connection, "person-1", reason=ATTACKS[0])
        set_policy(connection, ATTACKS[1].replace("-", ""), keep_last=1)
    factory = sessionmaker(engine)
    for attack in ATTACKS:
        _failing(attack).catch_up(factory)
    with engine.begin() as connection:
        admin.pause_consumer(connection, ATTACKS[0], by=ATTACKS[1])
        admin.record_operation(
            connection, ATTACKS[0], ATTACKS[0], details={ATTACKS[1]: ATTACKS[2]}, by=ATTACKS[3]
        )
        connection.execute(
            text(
                "INSERT INTO message_store.consumer_members VALUES "
                "(:name, :name, gen_random_uuid(), '1 day', now() + interval '1 day')"
            ),
            {"name": ATTACKS[0]},
        )
        connection.execute(
            text(
                "INSERT INTO message_store.deletions (kind, subject, reason, archive, deleted_by)"
                " SELECT 'key', t, t, t, t FROM unnest(CAST(:attacks AS text[])) AS t"
            ),
            {"attacks": ATTACKS},
        )


def _failing(attack: str) -> Consumer:
    consumer = Consumer(
        attack,
        group=Group(slots=1, member=attack),
        retry_policy=RetryPolicy(max_attempts=1),
        on_failure="dead_letter",
    )

    @consumer.on(*ATTACKS)
    def fail(message: Any, unit: Any) -> None:
        raise ValueError(f"{attack} {'long ' * 20_000}" if attack == ATTACKS[0] else attack)

    return consumer


def _insert(
    connection: Any,
    stream: str,
    type_: str,
    data: str | None,
    *,
    metadata: str | None = None,
    time: str = "now",
) -> None:
    """Insert what the library refuses to write, as another client may."""
    connection.execute(
        text(
            "INSERT INTO message_store.messages (stream_name, position, type, data, metadata, time)"
            " VALUES (:stream, 0, :type, CAST(:data AS jsonb), CAST(:metadata AS jsonb),"
            " CAST(:time AS timestamp))"
        ),
        {"stream": stream, "type": type_, "data": data, "metadata": metadata, "time": time},
    )
