from __future__ import annotations

import pickle
from typing import Any

import pytest

from mdb_sqla import (
    Consumer,
    DuplicateMessageId,
    InvalidArgument,
    InvalidMessage,
    InvalidSchemaName,
    InvalidStreamName,
    Message,
    MessageStoreError,
    NotCommitted,
    StreamName,
    WrongExpectedVersion,
)
from mdb_sqla.store.write_arguments import Write


@pytest.mark.parametrize(
    "error",
    [
        InvalidStreamName("", "it must not be empty"),
        InvalidSchemaName("$"),
        InvalidMessage(Message("T"), "the data must be JSON"),
        NotCommitted("account-1"),
        DuplicateMessageId("A message is stored already", id=None),
        WrongExpectedVersion(
            "Wrong expected version", stream_name="a-1", expected_version=1, stream_version=2
        ),
    ],
)
def test_errors_go_from_process_to_process(error: MessageStoreError) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


class Hidden:
    def __repr__(self) -> str:
        raise LookupError


VALUES: list[Any] = [Hidden(), 10**5_000]


@pytest.mark.parametrize("value", VALUES, ids=["hidden", "long"])
@pytest.mark.parametrize(
    "use",
    [
        StreamName,
        lambda value: StreamName.build("order", value),
        lambda value: StreamName.build(value),
        Message,
        lambda value: Message("T", id=value),
        lambda value: Message("T", metadata=value),
        lambda value: Write.expecting("order-1", value),
        lambda value: Consumer(value, "order"),
    ],
)
def test_what_can_not_be_shown_is_refused_all_the_same(use: Any, value: Any) -> None:
    with pytest.raises((InvalidArgument, InvalidMessage), match=r"(repr failed|id is too long)"):
        use(value)
