"""Asking by a message, and waiting for the reply."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import (
    Consumer,
    InvalidArgument,
    Message,
    MessageStore,
    NoReply,
    StoredMessage,
    request,
    request_async,
    wait_for_reply,
    wait_for_reply_async,
    write_on_commit,
)
from tests.consumers.conftest import Application
from tests.waiting import wait_until


def ask(application: Application, *arguments: Any) -> StoredMessage:
    if application.flavour.asynchronous:
        reply: StoredMessage = application.flavour.run(
            request_async(application.factory, *arguments)
        )
        return reply
    return request(application.factory, *arguments)


def wait(application: Application, *arguments: Any) -> StoredMessage:
    if application.flavour.asynchronous:
        reply: StoredMessage = application.flavour.run(
            wait_for_reply_async(application.factory, *arguments)
        )
        return reply
    return wait_for_reply(application.factory, *arguments)


def stream(application: Application, name: str) -> list[StoredMessage]:
    with application.engine.connect() as connection:
        return MessageStore(connection).read_stream(name)


def answer(application: Application, consumer: Consumer) -> Any:
    """Have a consumer answer in a thread, over the sync engine."""

    @consumer.on("Place")
    def place(message: Any, unit: Any) -> None:
        unit.write(*Message("Placed", message.data).reply(message))

    return threading.Thread(target=consumer.run, args=(sessionmaker(application.engine),))


def test_the_reply_is_returned(application: Application) -> None:
    consumer = Consumer("placing", "order:command")
    answering = answer(application, consumer)
    answering.start()
    message = Message("Place", {"number": 7}, {"properties": {"user": 1}})

    reply = ask(application, "order:command-7", message, 20)

    consumer.stop()
    answering.join()
    assert (reply.type, reply.data) == ("Placed", {"number": 7})
    assert reply.stream_name == f"order:reply-{message.id}"
    assert reply.metadata["causationMessageStreamName"] == "order:command-7"
    (asked,) = stream(application, "order:command-7")
    assert asked.metadata == {
        "properties": {"user": 1},
        "replyStreamName": f"order:reply-{message.id}",
    }


def test_no_reply_in_time(application: Application) -> None:
    message = Message("Place")

    with pytest.raises(NoReply, match=r"order:reply-[0-9a-f-]+ within 0\.05 seconds") as info:
        ask(application, "order:command-7", message, 0.05)

    assert isinstance(info.value, TimeoutError)
    assert len(stream(application, "order:command-7")) == 1
    # It may still come, and be waited for.
    consumer = Consumer("placing", "order:command")
    answering = answer(application, consumer)
    answering.start()
    assert wait(application, info.value.stream_name, 20).type == "Placed"
    consumer.stop()
    answering.join()


def test_a_request_that_is_lost_is_made_again(application: Application) -> None:
    """A standby that lacked it has replaced the server, and the application has not noticed."""
    message = Message("Place")
    consumer = Consumer("placing", "order:command")
    answering = answer(application, consumer)

    def lose_and_answer() -> None:
        wait_until(lambda: stream(application, "order:command-7"))
        with application.engine.begin() as connection:
            connection.execute(text("TRUNCATE message_store.messages RESTART IDENTITY"))
        answering.start()

    with ThreadPoolExecutor() as threads:
        losing = threads.submit(lose_and_answer)
        reply = ask(application, "order:command-7", message, 20)
        losing.result()
    consumer.stop()
    answering.join()

    assert reply.type == "Placed"
    (asked,) = stream(application, "order:command-7")
    assert asked.id == message.id


def test_what_is_asked_in_a_transaction_of_the_applications(application: Application) -> None:
    with application.flavour.session() as session:
        asking = Message("Place").with_reply_stream("shop:reply-1")
        write_on_commit(session, "order:command-7", asking)
        application.flavour.run(session.commit())
    consumer = Consumer("placing", "order:command")
    answer(application, consumer)
    application.write("shop:reply-2", 2)

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(wait, application, "shop:reply-1", 20)
        consumer.catch_up(sessionmaker(application.engine))
        assert waiting.result().type == "Placed"


def test_a_lost_connection_does_not_end_the_wait(application: Application) -> None:
    lost = threading.Event()

    def cut_off_and_answer() -> None:
        while not lost.is_set():
            with application.engine.connect() as connection:
                ended = connection.scalars(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND query ~ 'get_stream_messages' "
                        "AND pid <> pg_backend_pid()"
                    )
                ).all()
                if ended:
                    lost.set()
        application.write("shop:reply-1", 7)

    with ThreadPoolExecutor() as threads:
        answering = threads.submit(cut_off_and_answer)
        reply = wait(application, "shop:reply-1", 20)
        answering.result()

    assert reply.data == 7
    assert lost.is_set()


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_that_is_none(application: Application, seconds: float) -> None:
    with pytest.raises(
        InvalidArgument, match=f"timeout must be a positive number of seconds, got {seconds}"
    ):
        ask(application, "order:command-7", Message("Place"), seconds)

    assert stream(application, "order:command-7") == []
