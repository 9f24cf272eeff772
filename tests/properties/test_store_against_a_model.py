"""Random writes and reads, beside a store that is a list in Python."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from mdb_sqla import (
    DuplicateMessageId,
    Message,
    MessageStore,
    StreamName,
    WrongExpectedVersion,
    write_on_commit,
)
from mdb_sqla.store import writes

stream_names = st.sampled_from(
    ["account-1", "account-2", "account-1+2", "account:command-1", "account", "other-1", "other-é"]
)
categories = st.sampled_from(["account", "account:command", "other", "nothing"])
types = st.sampled_from(["A", "B", "C"])
# Beyond 2^53 a float comes back as the integer that its digits spell, as JSON allows.
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-(2**24), 2**24, width=32)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.text("ab", max_size=2), values, max_size=3)
    ),
    max_leaves=5,
)
metadata = st.none() | st.fixed_dictionaries(
    {}, optional={"correlationStreamName": stream_names, "properties": st.just({"a": 1})}
)
messages = st.builds(
    Message, type=types, data=json_values, metadata=metadata, id=st.uuids() | st.uuids(version=4)
)
batches = st.lists(messages, min_size=1, max_size=4, unique_by=lambda message: message.id)
expectations = st.none() | st.integers(-1, 4)


@dataclass
class Model:
    """The messages in global order."""

    rows: list[tuple[str, Message]] = field(default_factory=list)

    def stream(self, stream_name: str) -> list[Message]:
        return [message for name, message in self.rows if name == stream_name]

    def write(
        self, stream_name: str, batch: list[Message], expected_version: int | None
    ) -> type[Exception] | int:
        versions = {} if expected_version is None else {stream_name: expected_version}
        positions = self.write_messages([(stream_name, message) for message in batch], versions)
        return positions if isinstance(positions, type) else positions[-1]

    def write_messages(
        self, pairs: list[tuple[str, Message]], expected_versions: dict[str, int]
    ) -> type[Exception] | list[int]:
        first = {message.id: (name, message) for name, message in reversed(self.rows + pairs)}
        if any(first[message.id] != (name, message) for name, message in pairs):
            return DuplicateMessageId
        known = {message.id for _, message in self.rows}
        is_repeat = bool(pairs) and all(message.id in known for _, message in pairs)
        if not is_repeat and any(
            version != len(self.stream(name)) - 1 for name, version in expected_versions.items()
        ):
            return WrongExpectedVersion
        for name, message in pairs:
            if message.id not in known:
                known.add(message.id)
                self.rows.append((name, message))
        return [
            [other.id for other in self.stream(name)].index(message.id) for name, message in pairs
        ]


def in_group(stream_name: str, member: int, size: int) -> bool:
    name = StreamName(stream_name)
    key = name.cardinal_id if name.cardinal_id is not None else name
    digest = hashlib.md5(key.encode()).digest()[:8]
    return abs(int.from_bytes(digest, signed=True)) % size == member


def machine(engine: Engine) -> type[RuleBasedStateMachine]:
    class StoreMachine(RuleBasedStateMachine):
        @initialize()
        def empty(self) -> None:
            self.connection = engine.connect()
            self.transaction = self.connection.begin()
            # The session's transactions are savepoints: each example ends in a rollback.
            self.session = Session(self.connection, join_transaction_mode="create_savepoint")
            self.store = MessageStore(self.session)
            self.model = Model()

        def teardown(self) -> None:
            self.session.close()
            self.transaction.rollback()
            self.connection.close()

        def _same(self, expected: Any, call: Callable[[], Any]) -> None:
            try:
                assert call() == expected
            except (WrongExpectedVersion, DuplicateMessageId) as error:
                assert type(error) is expected  # noqa: PT017
                self.session.rollback()

        @rule(stream_name=stream_names, batch=batches, expected_version=expectations)
        def write(
            self, stream_name: str, batch: list[Message], expected_version: int | None
        ) -> None:
            def call() -> int:
                position = self.store.write(stream_name, batch, expected_version=expected_version)
                self.session.commit()
                return position

            self._same(self.model.write(stream_name, batch, expected_version), call)

        @rule(stream_name=stream_names, batch=batches, expected_version=expectations)
        def write_on_commit(
            self, stream_name: str, batch: list[Message], expected_version: int | None
        ) -> None:
            def call() -> int:
                pending = write_on_commit(
                    self.session, stream_name, batch, expected_version=expected_version
                )
                self.session.commit()
                return pending.position

            self._same(self.model.write(stream_name, batch, expected_version), call)

        @rule(stream_name=stream_names, batch=batches)
        def roll_back(self, stream_name: str, batch: list[Message]) -> None:
            write_on_commit(self.session, stream_name, batch)
            self.session.rollback()

        @rule(
            pairs=st.lists(st.tuples(stream_names, messages), max_size=5),
            expected_versions=st.dictionaries(stream_names, st.integers(-1, 3), max_size=2),
            repeats=st.lists(st.integers(0, 5), max_size=3),
            changed=st.booleans(),
            bulk=st.booleans(),
        )
        def write_messages(
            self,
            pairs: list[tuple[str, Message]],
            expected_versions: dict[str, int],
            repeats: list[int],
            changed: bool,
            bulk: bool,
        ) -> None:
            """Messages of several streams, some of them stored already, at times all of them."""
            stored = [
                self.model.rows[number] for number in repeats if number < len(self.model.rows)
            ]
            if changed and stored:
                name, message = stored[0]
                stored[0] = (name, replace(message, type="Changed"))
            pairs = stored + pairs[: 0 if len(repeats) == 3 else None]
            expected = self.model.write_messages(pairs, expected_versions)

            def call() -> list[int]:
                positions = self.store.write_messages(pairs, expected_versions=expected_versions)
                self.session.commit()
                return [position.position for position in positions]

            with patch.object(writes, "COPY_THRESHOLD", 1 if bulk else 200):
                self._same(expected, call)

        @rule(stream_name=stream_names, position=st.integers(0, 6), batch_size=st.integers(-1, 4))
        def read_stream(self, stream_name: str, position: int, batch_size: int) -> None:
            if StreamName(stream_name).is_category or batch_size == 0:
                return
            expected = self.model.stream(stream_name)[position:]
            if batch_size != -1:
                expected = expected[:batch_size]

            read = self.store.read_stream(stream_name, position, batch_size)

            assert [message.id for message in read] == [message.id for message in expected]
            assert [message.data for message in read] == [
                {} if message.data is None else message.data for message in expected
            ]
            assert [message.metadata for message in read] == [
                message.metadata or {} for message in expected
            ]
            assert [message.position for message in read] == list(
                range(position, position + len(read))
            )

        @rule(
            several=st.none() | st.lists(categories, max_size=3),
            category=categories,
            batch_size=st.integers(1, 4),
            correlation=st.none() | categories,
            size=st.none() | st.integers(1, 3),
        )
        def iterate(
            self,
            several: list[str] | None,
            category: str,
            batch_size: int,
            correlation: str | None,
            size: int | None,
        ) -> None:
            """Each category by itself, several, and all."""

            def expected(categories: list[str] | None, member: int) -> list[Any]:
                return [
                    message.id
                    for name, message in self.model.rows
                    if (categories is None or StreamName(name).category in categories)
                    and (
                        correlation is None
                        or StreamName(
                            (message.metadata or {}).get("correlationStreamName", "none")
                        ).category
                        == correlation
                    )
                    and (size is None or in_group(name, member, size))
                ]

            for member in range(size or 1):
                filters: dict[str, Any] = {"batch_size": batch_size, "correlation": correlation}
                if size is not None:
                    filters |= {"consumer_group_member": member, "consumer_group_size": size}
                of_one = list(self.store.iterate_category(category, **filters))
                of_several = list(self.store.iterate_messages(several, **filters))

                assert [message.id for message in of_one] == expected([category], member)
                assert [message.id for message in of_several] == expected(several, member)
                for read in (of_one, of_several):
                    assert all(a.global_position < b.global_position for a, b in pairwise(read))

        @rule(stream_name=stream_names, type_=st.none() | types)
        def last_message(self, stream_name: str, type_: str | None) -> None:
            of_type = [
                message
                for message in self.model.stream(stream_name)
                if type_ is None or message.type == type_
            ]

            last = self.store.last_message(stream_name, type_)

            assert (last.id if last else None) == (of_type[-1].id if of_type else None)

        @invariant()
        def versions_agree(self) -> None:
            for stream_name in {name for name, _ in self.model.rows}:
                assert self.store.version(stream_name) == len(self.model.stream(stream_name)) - 1

    return StoreMachine


def test_store_against_a_model(shared_engine: Engine) -> None:
    run_state_machine_as_test(
        machine(shared_engine),
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
