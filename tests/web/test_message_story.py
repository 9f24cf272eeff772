"""What caused a message, and what it caused, without a browser."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, text

from mdb_sqla import tables
from mdb_sqla.web import message_story
from mdb_sqla.web.message_story import Effect, find_message, read_story
from tests.web.stored_messages import stored, write

m = tables.messages.c


def story_of(db: Connection, position: int, **options: Any) -> message_story.Story:
    found = find_message(db, position)
    assert found is not None
    return read_story(db, found.row, **options)


def shape(effects: list[Effect]) -> list[Any]:
    return [(each.row.global_position, shape(each.effects)) for each in effects]


def test_a_tree_of_effects(connection: Connection) -> None:
    (root,) = write(connection, "a-1")
    left, right = write(connection, "b-1", *[stored(connection, root)] * 2)
    (leaf,) = write(connection, "c-1", stored(connection, left))
    write(connection, "d-1")

    story = story_of(connection, root)
    assert shape(story.effects) == [(left, [(leaf, [])]), (right, [])]
    assert (story.causes, story.missing_cause, story.is_truncated) == ([], None, False)
    assert [row.global_position for row in story_of(connection, leaf).causes] == [root, left]


def test_a_cause_that_is_missing(connection: Connection) -> None:
    (root,) = write(connection, "a-1")
    (effect,) = write(connection, "b-1", stored(connection, root))
    connection.execute(tables.messages.delete().where(m.global_position == root))
    assert story_of(connection, effect).missing_cause == ("a-1", 0)


def test_cycles(connection: Connection) -> None:
    (first,) = write(connection, "a-1")
    (second,) = write(connection, "b-1", stored(connection, first))
    for position, cause in ((first, "b-1"), (second, "a-1")):
        connection.execute(
            text(
                "UPDATE message_store.messages SET metadata = jsonb_build_object("
                "'causationMessageStreamName', CAST(:cause AS text), 'causationMessagePosition', 0)"
                " WHERE global_position = :position"
            ),
            {"cause": cause, "position": position},
        )
    assert [row.global_position for row in story_of(connection, first).causes] == [second]
    assert shape(story_of(connection, first).effects) == [(second, [])]
    (own,) = write(connection, "c-1")
    connection.execute(
        text(
            'UPDATE message_store.messages SET metadata = \'{"causationMessageStreamName": '
            '"c-1", "causationMessagePosition": 0}\' WHERE global_position = :position'
        ),
        {"position": own},
    )
    assert story_of(connection, own).causes == []


def test_wide_and_deep_trees(connection: Connection) -> None:
    (root,) = write(connection, "a-1")
    write(connection, "b-1", *[stored(connection, root)] * (message_story.MAX_EFFECTS + 1))
    story = story_of(connection, root)
    assert len(story.effects) == message_story.MAX_EFFECTS
    assert story.is_truncated
    (last,) = write(connection, "chain-0")
    for number in range(1, 80):
        (last,) = write(connection, f"chain-{number}", stored(connection, last))
    causes = story_of(connection, last).causes
    assert len(causes) == 50
    depth, effects = 0, story_of(connection, last - 79).effects
    while effects:
        depth, effects = depth + 1, effects[0].effects
    assert depth == 79


def test_windows(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_story, "WINDOW", 10)
    (root,) = write(connection, "a-1")
    write(connection, "b-1", number=15)
    (effect,) = write(connection, "c-1", stored(connection, root))
    story = story_of(connection, root)
    assert (shape(story.effects), story.searched_to) == ([], root + 10)
    story = story_of(connection, root, windows=2)
    assert (shape(story.effects), story.searched_to) == ([(effect, [])], None)
