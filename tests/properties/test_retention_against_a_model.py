"""Random writes, policies, consumers, jobs and crashes, beside a model of what must be left."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import URL, Engine, Interval, create_engine, delete, insert, literal, select, text

from mdb_sqla import (
    NO_STREAM,
    Message,
    MessageStore,
    WrongExpectedVersion,
    admin,
    functions,
    retention,
    tables,
)
from mdb_sqla.retention import RetentionPolicy, delete_policy, set_policy

categories = st.sampled_from(["a", "b"])
stream_names = st.sampled_from(["a-1", "a-2", "a-3", "b-1"])
consumers = st.sampled_from(["billing", "audit"])
positions = st.floats(0, 1)

m = tables.messages.c


class CrashError(Exception):
    """The job is killed between two batches."""


@dataclass
class Stored:
    global_position: int
    stream_name: str
    position: int
    days: int = 0

    @property
    def category(self) -> str:
        return self.stream_name.partition("-")[0]


@dataclass
class Model:
    messages: list[Stored] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    policies: dict[str, RetentionPolicy] = field(default_factory=dict)
    consumers: dict[str, tuple[list[str], int]] = field(default_factory=dict)
    dead_letters: set[tuple[str, int]] = field(default_factory=set)

    def expired(self, category: str) -> list[int]:
        """The global positions that the job has to delete."""
        policy = self.policies[category]
        reading = [
            position
            for names, position in self.consumers.values()
            if not names or category in names
        ]
        if not reading and policy.keep_age is None and policy.keep_last is None:
            return []
        found = []
        for name in {each.stream_name for each in self.messages if each.category == category}:
            for each in (each for each in self.messages if each.stream_name == name):
                if (
                    (policy.keep_age is not None and timedelta(each.days) < policy.keep_age)
                    or (
                        policy.keep_last is not None
                        and each.position > self.versions[name] - policy.keep_last
                    )
                    or any(each.global_position > position for position in reading)
                    or (name, each.position) in self.dead_letters
                ):
                    break
                found.append(each.global_position)
        return sorted(found)

    def delete(self, global_positions: list[int]) -> None:
        gone = set(global_positions)
        for category in self.policies:
            if not self.policies[category].keep_versions:
                for name in {each.stream_name for each in self.messages}:
                    left = [
                        each
                        for each in self.messages
                        if each.stream_name == name and each.global_position not in gone
                    ]
                    was_hit = any(
                        each.global_position in gone
                        for each in self.messages
                        if each.stream_name == name
                    )
                    if name.startswith(category) and was_hit and not left:
                        self.versions.pop(name)
        self.messages = [each for each in self.messages if each.global_position not in gone]


def machine(engine: Engine) -> type[RuleBasedStateMachine]:
    class RetentionMachine(RuleBasedStateMachine):
        @initialize()
        def empty(self) -> None:
            with engine.begin() as connection:
                names = ", ".join(
                    f"message_store.{each.name}"
                    for each in (
                        tables.messages,
                        tables.stream_heads,
                        tables.deleted_positions,
                        tables.retention_policies,
                        tables.consumers,
                        tables.consumer_slots,
                        tables.dead_letters,
                        tables.deletions,
                    )
                )
                connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
            self.model = Model()

        def teardown(self) -> None:
            assert admin.verify(engine).differences == []

        @rule(stream_name=stream_names, number=st.integers(1, 4), right=st.booleans())
        def write(self, stream_name: str, number: int, right: bool) -> None:
            version = self.model.versions.get(stream_name, NO_STREAM)
            batch = [Message("T", each) for each in range(number)]
            with engine.begin() as connection:
                store = MessageStore(connection)
                if not right:
                    expected = NO_STREAM if version != NO_STREAM else 0
                    with pytest.raises(WrongExpectedVersion) as refused:
                        store.write(stream_name, batch, expected_version=expected)
                    assert refused.value.stream_version == version
                    connection.rollback()
                    return
                last = store.write(stream_name, batch, expected_version=version)
                assert last == version + number
                newest: int = connection.scalars(select(functions.last_global_position())).one()
            for place in range(number):
                self.model.messages.append(
                    Stored(newest - number + 1 + place, stream_name, version + 1 + place)
                )
            self.model.versions[stream_name] = version + number

        @rule(days=st.integers(1, 3))
        def time_passes(self, days: int) -> None:
            with engine.begin() as connection:
                connection.execute(
                    tables.messages.update().values(
                        time=m.time - literal(timedelta(days=days), Interval)
                    )
                )
            for each in self.model.messages:
                each.days += days

        @rule(
            category=categories,
            days=st.none() | st.integers(1, 4),
            keep_last=st.none() | st.integers(1, 3),
            keep_versions=st.booleans() | st.just(True),
        )
        def policy(
            self, category: str, days: int | None, keep_last: int | None, keep_versions: bool
        ) -> None:
            with engine.begin() as connection:
                self.model.policies[category] = set_policy(
                    connection,
                    category,
                    keep_age=None if days is None else timedelta(days=days),
                    keep_last=keep_last,
                    keep_versions=keep_versions,
                )

        @rule(category=categories)
        def no_policy(self, category: str) -> None:
            with engine.begin() as connection:
                assert delete_policy(connection, category) == (
                    self.model.policies.pop(category, None) is not None
                )

        @rule(name=consumers, names=st.lists(categories, max_size=2, unique=True), share=positions)
        def consume(self, name: str, names: list[str], share: float) -> None:
            """A consumer is somewhere in the log; its registration may change."""
            with engine.begin() as connection:
                self._forget(connection, name)
                newest: int = connection.scalars(select(functions.last_global_position())).one()
                position = int(newest * share)
                connection.execute(
                    insert(tables.consumers).values(consumer=name, categories=names, start=1)
                )
                connection.execute(
                    insert(tables.consumer_slots).values(
                        consumer=name, slot=0, slots=1, position=position
                    )
                )
            self.model.consumers[name] = (names, position)

        @rule(name=consumers)
        def retire(self, name: str) -> None:
            with engine.begin() as connection:
                self._forget(connection, name)
            self.model.consumers.pop(name, None)

        def _forget(self, connection: Any, name: str) -> None:
            for table in (tables.consumers, tables.consumer_slots):
                connection.execute(delete(table).where(table.c.consumer == name))

        @rule(share=positions)
        def dead_letter(self, share: float) -> None:
            if not self.model.messages:
                return
            number = int((len(self.model.messages) - 1) * share)
            message = self.model.messages[number]
            if (message.stream_name, message.position) in self.model.dead_letters:
                return
            self.model.dead_letters.add((message.stream_name, message.position))
            with engine.begin() as connection:
                connection.execute(
                    insert(tables.dead_letters).values(
                        consumer="billing",
                        global_position=message.global_position,
                        slot=0,
                        stream_name=message.stream_name,
                        position=message.position,
                        type="T",
                        failed=True,
                    )
                )

        @rule()
        def replay(self) -> None:
            self.model.dead_letters.clear()
            with engine.begin() as connection:
                connection.execute(delete(tables.dead_letters))

        @rule(batch_size=st.sampled_from([1, 2, 5, 1_000]), crash=st.none() | st.integers(1, 4))
        def job(self, batch_size: int, crash: int | None) -> None:
            expected = {name: self.model.expired(name) for name in self.model.policies}
            planned = {each.policy.category: each.messages for each in retention.plan(engine)}
            assert planned == {name: len(found) for name, found in expected.items()}
            batches = 0

            def count(_deleted: int) -> None:
                nonlocal batches
                batches += 1
                if batches == crash:
                    raise CrashError

            try:
                done = retention.run(engine, batch_size=batch_size, on_batch=count)
            except CrashError:
                left = {position for position, *_ in self._rows()}
                known = [each.global_position for each in self.model.messages]
                gone = [position for position in known if position not in left]
                assert set(gone) <= {position for found in expected.values() for position in found}
                self.model.delete(gone)
            else:
                assert {each.policy.category: each.messages for each in done} == planned
                self.model.delete([each for found in expected.values() for each in found])

        def _rows(self) -> list[tuple[int, str, int]]:
            columns = m.global_position, m.stream_name, m.position
            with engine.connect() as connection:
                rows = connection.execute(select(*columns).order_by(m.global_position))
                return [tuple(row) for row in rows]

        @invariant()
        def what_must_be_left_is_left(self) -> None:
            assert self._rows() == [
                (each.global_position, each.stream_name, each.position)
                for each in self.model.messages
            ]

        @invariant()
        def versions_agree(self) -> None:
            with engine.connect() as connection:
                store = MessageStore(connection)
                for name in ("a-1", "a-2", "a-3", "b-1"):
                    assert store.version(name) == self.model.versions.get(name, NO_STREAM)

    return RetentionMachine


def test_retention_against_a_model(database: URL) -> None:
    engine = create_engine(database)
    run_state_machine_as_test(
        machine(engine),
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
    engine.dispose()
