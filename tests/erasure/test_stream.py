"""What is erased of a stream, what stays, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from mdb_sqla import (
    NO_STREAM,
    DuplicateMessageId,
    InvalidArgument,
    InvalidStreamName,
    Message,
    MessageStore,
    StoredMessage,
    WrongExpectedVersion,
    admin,
    tables,
)
from mdb_sqla.erasure import ERASED, Erasure, erase_stream
from mdb_sqla.transfer import RawReader
from tests.conftest import Flavour
from tests.erasure.conftest import CUSTOMER, Shop

WHOLE = pytest.mark.parametrize("whole", [False, True], ids=["contents", "whole"])


def outline(message: StoredMessage) -> StoredMessage:
    return message._replace(data=None, metadata={})


def test_contents_are_replaced_and_all_else_stays(shop: Shop) -> None:
    before = shop.messages()
    assert shop.erase() == Erasure(CUSTOMER, 3, 1, 4)
    after = shop.messages()
    assert list(map(outline, after)) == list(map(outline, before))
    assert [message.is_erased for message in after] == [True, True, False, True]
    assert [message.data for message in after] == [{}, {}, {"name": "Bob"}, {}]
    assert [message.metadata for message in after if message.is_erased] == [{"erased": True}] * 3
    assert shop.version() == 2
    assert shop.log() == [("contents", "customer", CUSTOMER, None, "request 7", 3, 1, 4)]
    assert shop.scalar("SELECT deleted_by FROM message_store.deletions") == "postgres"
    assert shop.is_sound()


def test_every_client_reads_objects(shop: Shop) -> None:
    """Other clients decode the text that the functions return, and may not expect NULL."""
    shop.erase()
    statement = "SELECT data || metadata FROM message_store.get_stream_messages('customer-1')"
    assert shop.scalar(statement) == '{}{"erased": true}'


def test_where_there_is_nothing_to_erase_a_message_stays_as_it_is(shop: Shop) -> None:
    shop.write("customer-3", None, {}, 0)
    assert shop.erase("customer-3").messages == 1
    assert [message.is_erased for message in shop.messages("customer-3")] == [False, False, True]


def test_a_whole_stream_is_deleted_and_continues(shop: Shop) -> None:
    assert shop.erase(whole=True) == Erasure(CUSTOMER, 3, 1, 4)
    assert shop.data() == [{"name": "Bob"}]
    assert shop.version() == 2
    assert shop.log() == [("stream", "customer", CUSTOMER, None, "request 7", 3, 1, 4)]
    assert shop.scalar("SELECT count(*) FROM message_store.deleted_positions") == 0
    with shop.engine.begin() as connection, pytest.raises(WrongExpectedVersion):
        MessageStore(connection).write(CUSTOMER, Message("T"), expected_version=NO_STREAM)
    shop.write(CUSTOMER, {"again": True})
    assert [message.position for message in shop.messages(CUSTOMER)] == [3]
    assert shop.is_sound()


@WHOLE
def test_an_announcement(shop: Shop, whole: bool) -> None:
    assert shop.erase(whole=whole, announce=True).announced == 3
    announcement = shop.messages(CUSTOMER)[-1]
    assert (announcement.type, announcement.position) == (ERASED, 3)
    assert (announcement.data, announcement.metadata, announcement.is_erased) == ({}, {}, False)
    assert len(shop.messages(CUSTOMER)) == (1 if whole else 4)
    assert shop.is_sound()


@WHOLE
def test_a_second_time(shop: Shop, whole: bool) -> None:
    shop.erase(whole=whole)
    before = shop.messages()
    assert shop.erase(whole=whole, announce=True) == Erasure(CUSTOMER, 0, None, None)
    assert shop.messages() == before
    assert len(shop.log()) == 1
    shop.write(CUSTOMER, {"name": "Ada again"})
    assert shop.erase(whole=whole).messages == 1
    assert {"name": "Ada again"} not in shop.data()


def test_an_announcement_is_not_erased(shop: Shop) -> None:
    shop.erase(announce=True)
    assert shop.erase(announce=True) == Erasure(CUSTOMER, 0, None, None)


def test_contents_first_and_then_the_whole(shop: Shop) -> None:
    shop.erase()
    assert shop.erase(whole=True).messages == 3
    assert [row[0] for row in shop.log()] == ["contents", "stream"]


@WHOLE
@pytest.mark.parametrize("name", ["customer-3", "customer"])
def test_a_stream_that_never_was(shop: Shop, whole: bool, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"There is no stream {name}"):
        shop.erase(name, whole=whole)
    assert shop.log() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reason": ""}, "reason must be a non-empty string"),
        ({"reason": None}, "reason must be a non-empty string"),
        ({"whole": 1}, "whole must be True or False, got 1"),
        ({"announce": "yes"}, "announce must be True or False, got 'yes'"),
        ({"stream_name": ""}, "stream_name must be a non-empty string"),
        ({"stream_name": None}, "stream_name must be a non-empty string"),
    ],
)
def test_arguments_that_are_refused(shop: Shop, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        shop.erase(**options)
    assert len(shop.data(CUSTOMER)) == 3
    assert shop.log() == []


def test_a_name_of_another_client(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.execute(
            text("SELECT message_store.write_message(:id, '-7', 'T', '{\"a\": 1}')"),
            {"id": str(Message("T").id)},
        )
    with pytest.raises(InvalidStreamName):
        shop.erase("-7", announce=True)
    assert shop.erase("-7").messages == 1


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"])
def test_another_isolation_level(shop: Shop, level: str) -> None:
    engine = shop.engine.execution_options(isolation_level=level)
    with (
        engine.connect() as connection,
        pytest.raises(InvalidArgument, match="Erasing a stream requires"),
    ):
        erase_stream(connection, CUSTOMER, reason="request 7")
    assert shop.log() == []


@WHOLE
def test_a_rollback_leaves_everything(shop: Shop, whole: bool) -> None:
    before = shop.messages()
    with Session(shop.engine) as session:
        erase_stream(session, CUSTOMER, reason="request 7", whole=whole, announce=True)
    assert shop.messages() == before
    assert shop.log() == []


def test_an_erased_message_is_not_written_again(shop: Shop) -> None:
    message = Message("T", {"name": "Ada"})
    with shop.engine.begin() as connection:
        MessageStore(connection).write(CUSTOMER, message)
    shop.erase()
    with shop.engine.begin() as connection, pytest.raises(DuplicateMessageId):
        MessageStore(connection).write(CUSTOMER, message)


def test_what_is_erased_is_not_correlated(shop: Shop) -> None:
    def correlated() -> int:
        with shop.engine.connect() as connection:
            return len(MessageStore(connection).read_category("customer", correlation="signup"))

    assert correlated() == 2
    shop.erase()
    assert correlated() == 0


@WHOLE
def test_a_protected_stream(shop: Shop, whole: bool) -> None:
    admin.set_protection(shop.engine, True)
    try:
        assert shop.erase(whole=whole).messages == 3
    finally:
        admin.set_protection(shop.engine, False)


@WHOLE
def test_readers_of_everything_go_on(shop: Shop, whole: bool) -> None:
    """One that remembers a message of the stream, the last one that it has read."""
    reader = RawReader()
    with shop.engine.connect() as connection:
        assert len(reader.next(connection)) == 4
        connection.rollback()
        shop.erase(whole=whole)
        shop.write("customer-2", {"name": "Bob B."})
        assert [message.stream_name for message in reader.next(connection)] == ["customer-2"]


@WHOLE
def test_with_each_kind_of_session(flavour: Flavour, shop: Shop, whole: bool) -> None:
    def erase(session: Session) -> Erasure:
        return erase_stream(session, CUSTOMER, reason="request 7", whole=whole, announce=True)

    with flavour.session() as session:
        work = session.run_sync(erase) if flavour.asynchronous else erase(session)
        assert flavour.run(work).messages == 3
        flavour.run(session.commit())
    assert shop.version() == 3
    assert [each.type for each in shop.messages(CUSTOMER)][-1] == ERASED
    assert shop.scalar(f"SELECT count(*) FROM {tables.deletions.fullname}") == 1
