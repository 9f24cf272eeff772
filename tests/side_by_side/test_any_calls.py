from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.side_by_side.calls import Call
from tests.side_by_side.generated import many_calls
from tests.side_by_side.pair import Pair


# Under CI the examples are always the same: that is Hypothesis's own profile for it.
@settings(max_examples=60, deadline=None)
@given(
    many_calls(),
    st.sampled_from(["", "public", "message_store, public"]),
    st.sampled_from(["READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]),
)
def test_any_calls_come_to_the_same(
    pair: Pair,
    calls: list[Call],
    search_path: str,
    isolation_level: str,
) -> None:
    with pair.fresh(search_path, isolation_level):
        for call in calls:
            pair.call(call)
        pair.assert_same_content()
