from __future__ import annotations

import pickle

import pytest

from mdb_sqla import (
    DuplicateMessageId,
    InvalidMessage,
    InvalidSchemaName,
    InvalidStreamName,
    Message,
    MessageStoreError,
    NotCommitted,
    WrongExpectedVersion,
)


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
