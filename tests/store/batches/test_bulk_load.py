"""Any number of messages, in chunks."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from mdb_sqla import InvalidArgument, InvalidMessage, InvalidStreamName, Message
from tests.store.batches.conftest import stored


class TestLoad:
    """Any number of messages, in chunks."""

    @pytest.fixture(autouse=True)
    def small_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mdb_sqla.store.bulk_load._CHUNK", 3)

    @pytest.mark.parametrize("number", [0, 1, 3, 8])
    def test_tells_how_far_it_is(self, flavour: Any, store: Any, session: Any, number: int) -> None:
        told: list[int] = []
        pairs = ((f"a-{index % 2}", Message("T", index)) for index in range(number))

        assert flavour.run(store.load(pairs, progress=told.append)) == number

        assert told == [*range(3, number, 3), *([number] if number else [])]
        assert [row[3] for row in stored(flavour, session)] == list(range(number))

    def test_takes_an_async_iterator(self, flavour: Any, store: Any, session: Any) -> None:
        if not flavour.asynchronous:
            pytest.skip("only where the store is asynchronous")

        async def pairs() -> AsyncIterator[tuple[str, Message]]:
            for index in range(7):
                yield "a-1", Message("T", index)

        assert flavour.run(store.load(pairs())) == 7
        assert [row[3] for row in stored(flavour, session)] == list(range(7))

    def test_memory_does_not_grow(
        self, flavour: Any, store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mdb_sqla.store.bulk_load._CHUNK", 400)

        def peak_of(number: int) -> int:
            tracemalloc.start()
            flavour.run(store.load(("a-1", Message("T", "x" * 500)) for _ in range(number)))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return peak

        peak_of(800)  # imports, caches
        assert peak_of(6000) < 1.5 * peak_of(800)

    def test_repeats_are_recognised(self, flavour: Any, store: Any, session: Any) -> None:
        pairs = [("a-1", Message("T", index)) for index in range(7)]
        flavour.run(store.load(pairs[:5]))

        assert flavour.run(store.load(pairs)) == 7

        assert [row[3] for row in stored(flavour, session)] == list(range(7))

    def test_what_fails_is_taken_back(self, flavour: Any, store: Any, session: Any) -> None:
        def pairs(fault: Any) -> Iterator[tuple[str, Message]]:
            yield from (("a-1", Message("T", index)) for index in range(7))
            yield fault()

        flavour.run(store.write("before-1", Message("T")))
        faults: list[Callable[[], Any]] = [lambda: ("-1", Message("T")), lambda: [][0]]
        for fault in faults:
            with pytest.raises((InvalidStreamName, IndexError)):
                flavour.run(store.load(pairs(fault)))
        flavour.run(session.commit())

        assert [row[0] for row in stored(flavour, session)] == ["before-1"]

    def test_needs_a_transaction(self, flavour: Any) -> None:
        with (
            flavour.connection(isolation_level="AUTOCOMMIT") as connection,
            pytest.raises(InvalidArgument, match="AUTOCOMMIT"),
        ):
            flavour.run(flavour.store(connection).load([("a-1", Message("T"))]))

    def test_all_or_none(self, flavour: Any, store: Any, session: Any) -> None:
        pairs = [("a-1", Message("T", index)) for index in range(4)]
        with pytest.raises(InvalidMessage):
            flavour.run(store.load([*pairs, ("a-1", Message("T", float("nan")))]))

        flavour.run(session.rollback())
        assert stored(flavour, session) == []
