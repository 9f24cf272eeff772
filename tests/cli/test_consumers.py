from __future__ import annotations

import getpass
from datetime import datetime

from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Consumer, Group, Message, MessageStore, RetryPolicy, migrations, retention
from mdb_sqla.admin.consumer_overview import consumers
from mdb_sqla.consumers.group import Membership
from mdb_sqla.consumers.registry import Reads, registered
from tests.cli.running import told, write
from tests.cli.test_mdb import mdb


def catch_up(engine: Engine, *arguments: str, **settings: object) -> Consumer:
    consumer = Consumer(*arguments, **settings)  # type: ignore[arg-type]  # any of them
    consumer.on("Opened")(lambda message, unit: None)
    consumer.catch_up(sessionmaker(engine))
    return consumer


def test_a_consumer_tells_what_it_reads(engine: Engine) -> None:
    catch_up(engine, "all")
    catch_up(engine, "some", "account", "shop", start=7, correlation="other")
    catch_up(engine, "second", "account", consumer_group_member=1, consumer_group_size=2)

    with engine.connect() as connection:
        assert registered(connection) == {
            "all": Reads([], ["Opened"], None, None, 1),
            "some": Reads(["account", "shop"], ["Opened"], "other", None, 7),
            "second": Reads(["account"], ["Opened"], None, None, 1),
        }


def test_the_role_of_other_clients_may_tell_it_too(engine: Engine) -> None:
    migrations.upgrade(engine, roles=True)
    of_role = create_engine(engine.url.set(username="message_store"), poolclass=NullPool)

    catch_up(of_role, "billing", "account")
    catch_up(of_role, "billing", "shop")

    (found,) = told("consumers", url=of_role.url)["consumers"]
    assert found["reads"]["categories"] == ["shop"]


def test_it_tells_so_again_only_where_that_has_changed(engine: Engine) -> None:
    row = text("SELECT ctid::text, updated_at FROM message_store.consumers")

    def after(*categories: str) -> object:
        catch_up(engine, "billing", *categories)
        with engine.connect() as connection:
            return connection.execute(row).one()

    first = after("account")
    assert after("account") == first
    assert after("shop") != first


def test_reset_consumer(engine: Engine) -> None:
    write(engine.url, ("account-1", "Opened"), ("account-1", "Opened"))
    catch_up(engine, "billing", "account")

    result = mdb("reset-consumer", "billing", "--start", "2", url=engine.url)

    assert result.stdout == "Reset billing to start at global position 2.\n"
    (billing,) = told("consumers", url=engine.url)["consumers"]
    assert (billing["slots"][0]["position"], billing["lag"]["messages"]) == (1, 1)
    refused = mdb("reset-consumer", "biling", url=engine.url, code=2)
    assert "Consumer 'biling' has no position to reset" in refused.stderr


def test_pause_and_resume(engine: Engine) -> None:
    catch_up(engine, "billing", "account")

    assert mdb("pause-consumer", "billing", url=engine.url).stdout == "Paused billing.\n"
    again = mdb("pause-consumer", "billing", url=engine.url)
    assert again.stdout == "billing is already paused.\n"
    (billing,) = told("consumers", url=engine.url)["consumers"]
    assert billing["paused_by"] == getpass.getuser()
    since = datetime.fromisoformat(billing["paused_at"])
    shown = mdb("consumers", url=engine.url).stdout
    assert f"billing is paused since {since:%Y-%m-%d %H:%M:%S}Z, " in shown
    assert f"ago, by {getpass.getuser()}" in shown

    assert mdb("resume-consumer", "billing", url=engine.url).stdout == "Resumed billing.\n"
    assert mdb("resume-consumer", "billing", url=engine.url).stdout == "billing is not paused.\n"
    (billing,) = told("consumers", url=engine.url)["consumers"]
    assert (billing["paused_at"], billing["paused_by"]) == (None, None)
    assert "paused" not in mdb("consumers", url=engine.url).stdout
    refused = mdb("pause-consumer", "biling", url=engine.url, code=2)
    assert "There is no consumer 'biling'" in refused.stderr


def test_lag_is_that_of_the_consumer_itself(engine: Engine) -> None:
    write(engine.url, ("account-1", "Opened"))
    consumer = catch_up(engine, "billing", "account")
    write(engine.url, ("account-1", "Opened"), ("account-2", "Closed"), ("shop-1", "Opened"))

    (found,) = told("consumers", url=engine.url)["consumers"]

    with engine.connect() as connection:
        lag = consumer.lag(connection)
    assert lag.messages == 1
    assert found["lag"]["messages"] == 1
    assert found["lag"]["seconds"] <= consumer_age(engine)
    assert [slot["position"] for slot in found["slots"]] == [1]
    assert found["reads"]["categories"] == ["account"]


def consumer_age(engine: Engine) -> float:
    age = text(
        "SELECT extract(epoch FROM clock_timestamp() AT TIME ZONE 'utc' - min(time))::float "
        "FROM message_store.messages"
    )
    with engine.connect() as connection:
        return float(connection.scalar(age) or 0)


def test_members_and_what_they_have(engine: Engine) -> None:
    catch_up(engine, "billing", "account", group=Group(slots=3, member="gone"))
    living, dead = (
        Membership("billing", Group(slots=3, member=name, lease=lease))
        for name, lease in (("living", 60.0), ("dead", 1e-6))
    )
    with Session(engine) as session:
        for member in (dead, living):
            member.join(session)
            member.joined = True
            session.commit()
        living.share(session, {}, lambda session, slot: 0)
        session.commit()
        dead.renew_lease(session)
        session.commit()

    (found,) = told("consumers", url=engine.url)["consumers"]
    printed = mdb("consumers", url=engine.url).stdout

    assert found["members"] == [
        {"name": "dead", "is_alive": False, "slots": []},
        {"name": "living", "is_alive": True, "slots": [0, 1, 2]},
    ]
    lines = [line.split() for line in printed.splitlines()]
    assert ["billing", "dead", "dead", "none"] in lines
    assert ["billing", "living", "alive", "0,", "1,", "2"] in lines
    assert "unassigned" not in printed


def test_slots_of_a_group_add_up(engine: Engine) -> None:
    catch_up(engine, "billing", "account", group=Group(slots=4, member="one"))
    write(engine.url, *((f"account-{number}", "Opened") for number in range(10)))

    (found,) = told("consumers", url=engine.url)["consumers"]

    assert found["lag"]["messages"] == 10
    assert len(found["slots"]) == 4


def test_dead_letters(engine: Engine) -> None:
    write(engine.url, ("account-1", "Opened"), ("account-1", "Opened"))
    consumer = Consumer(
        "billing", "account", on_failure="dead_letter", retry_policy=RetryPolicy(max_attempts=1)
    )
    consumer.on("Opened")(lambda message, unit: [][0])
    consumer.catch_up(sessionmaker(engine))

    (found,) = told("consumers", url=engine.url)["consumers"]

    assert found["dead_letters"] == 2


def test_a_condition_is_shown_and_never_executed(engine: Engine) -> None:
    write(engine.url, ("account-1", "Opened"))
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO message_store.consumers (consumer, categories, condition, start) "
                "VALUES ('billing', '{account}', '1 / 0 = 0', 1)"
            )
        )

    (found,) = told("consumers", url=engine.url)["consumers"]
    printed = mdb("consumers", url=engine.url).stdout

    assert found["lag"]["messages"] == 1
    assert found["reads"]["condition"] == "1 / 0 = 0"
    assert "<= 1" in printed
    assert "<= at most: " in printed


def test_one_that_has_not_told_what_it_reads(engine: Engine) -> None:
    catch_up(engine, "billing", "account")
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE message_store.consumers"))

    (found,) = told("consumers", url=engine.url)["consumers"]
    printed = mdb("consumers", url=engine.url).stdout

    assert (found["name"], found["reads"], found["lag"]) == ("billing", None, None)
    assert "the consumer has not started yet" in printed


def test_what_people_read(engine: Engine) -> None:
    catch_up(engine, "[red]", "account", correlation="other")

    printed = mdb("consumers", "--verbose", url=engine.url).stdout

    assert "[red]" in printed
    assert "account; types Opened; correlation other" in printed


def test_no_consumer(engine: Engine) -> None:
    assert mdb("consumers", url=engine.url).stderr == "No consumers.\n"
    assert told("consumers", url=engine.url)["consumers"] == []


def test_the_transaction_is_left_as_it_was(engine: Engine) -> None:
    catch_up(engine, "billing", "account")
    with engine.begin() as connection:
        consumers(connection)
        MessageStore(connection).write("account-1", Message("Opened"))
        assert connection.scalar(text("SHOW enable_seqscan")) == "on"


def test_messages_that_were_deleted_before_it_handled_them(engine: Engine) -> None:
    write(engine.url, ("account-1", "Opened"), ("account-1", "Opened"), ("shop-1", "Opened"))
    catch_up(engine, "billing", "account")
    catch_up(engine, "shipping", "shop")
    with engine.begin() as connection:
        retention.set_policy(connection, "account", keep_last=1)
    retention.run(engine)
    assert "not handled" not in mdb("consumers", url=engine.url).stdout
    mdb("reset-consumer", "billing", url=engine.url)
    mdb("reset-consumer", "shipping", url=engine.url)

    assert (
        "billing has not handled messages that were deleted: messages of its categories "
        "up to 1 are missing\n"
    ) in mdb("consumers", url=engine.url).stdout
    billing, shipping = told("consumers", url=engine.url)["consumers"]
    assert (billing["deleted_up_to"], billing["has_missed_messages"]) == (1, True)
    assert (shipping["deleted_up_to"], shipping["has_missed_messages"]) == (0, False)
    assert told("summary", url=engine.url)["deleted"] == 1
    assert "deleted           1 message\n" in mdb("summary", url=engine.url).stdout
