from __future__ import annotations

import asyncio
import traceback

import pytest

from mdb_sqla.cli.traceback_text import innermost, trimmed

LIBRARY = (
    '  File "/app/.venv/lib/python3.12/site-packages/{}.py", line 9, in run\n    go()\n    ^^^^\n'
)
OWN = '  File "/app/shop.py", line 12, in bill\n    raise ValueError("no such card")\n'
HEADER = "Traceback (most recent call last):\n"
ERROR = "ValueError: no such card"


def test_frames_of_libraries_are_counted() -> None:
    text = HEADER + LIBRARY.format("mdb_sqla/runners") + LIBRARY.format("tenacity/a") + OWN + ERROR

    assert trimmed(text) == f"{HEADER}{OWN}  (2 library frames left out)\n{ERROR}"
    assert innermost(text) == "/app/shop.py:12 in bill"


def test_own_frames_alone_stay_as_they_are() -> None:
    repeated = "  [Previous line repeated 9 more times]\n"
    text = f"{HEADER}{OWN}{repeated}{ERROR}\n    with an indented line"

    assert trimmed(text) == text


def test_repeated_frames_of_a_library_go_with_them() -> None:
    repeated = "  [Previous line repeated 9 more times]\n"
    text = HEADER + OWN + LIBRARY.format("json/decoder") + repeated + ERROR

    assert trimmed(text) == f"{HEADER}{OWN}  (1 library frame left out)\n{ERROR}"


def test_an_error_of_libraries_only() -> None:
    text = HEADER + LIBRARY.format("sqlalchemy/a") + LIBRARY.format("psycopg/b") + ERROR

    assert trimmed(text) == f"{HEADER}  (2 library frames left out)\n{ERROR}"
    assert innermost(text) is None


def test_an_installed_application_is_not_a_library() -> None:
    application = LIBRARY.format("shop/billing")
    text = HEADER + LIBRARY.format("sqlalchemy/a") + application + ERROR

    assert trimmed(text) == f"{HEADER}{application}  (1 library frame left out)\n{ERROR}"


def test_a_chain_of_errors() -> None:
    between = "\nThe above exception was the direct cause of the following exception:\n\n"
    first = HEADER + LIBRARY.format("psycopg/a") + "KeyError: 'a'\n"
    text = f"{first}{between}{HEADER}{OWN}{ERROR}"

    kept = f"{HEADER}  (1 library frame left out)\nKeyError: 'a'\n"
    assert trimmed(text) == f"{kept}{between}{HEADER}{OWN}{ERROR}"


def test_a_group_of_errors() -> None:
    async def fail() -> None:
        raise LookupError("in a task")

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(run())
    text = trimmed("".join(traceback.format_exception(caught.value)))

    assert "taskgroups.py" not in text
    assert "library frames left out)" in text
    assert text.count("test_traceback_text.py") == 3
    assert "| LookupError: in a task" in text


def test_a_syntax_error_keeps_its_place() -> None:
    place = '  File "/app/shop.py", line 3\n    def\n       ^\n'
    text = f"{HEADER}{LIBRARY.format('a/b')}{place}SyntaxError: invalid syntax"

    assert trimmed(text).endswith(f"{place}SyntaxError: invalid syntax")
