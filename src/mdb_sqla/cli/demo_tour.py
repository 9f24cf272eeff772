"""The tour of `mdb demo`: snippets of code that are shown and executed."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from textwrap import indent
from typing import Any, NamedTuple

from rich.console import Console
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.text import Text
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

__all__ = ["run"]


class _Base(DeclarativeBase):
    pass


class _Order(_Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]


class _Sale(_Base):
    __tablename__ = "sales"

    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]


class _Step(NamedTuple):
    title: str
    code: str


_STEPS = [
    _Step(
        "Install the store next to your tables",
        """\
from mdb_sqla import migrations
Base.metadata.create_all(engine)  # your tables, orders and sales
for revision in migrations.upgrade(engine):
    print("Applied", revision)
""",
    ),
    _Step(
        "Write rows and messages in one transaction",
        """\
from mdb_sqla import Message, UnitOfWork
with UnitOfWork(new_session) as unit:
    unit.session.add(Order(id=1, state="paid"))
    unit.write("order-1", Message("Placed", {"item": "tea"}))
    paid = unit.write("order-1", Message("Paid", {"amount": 12}))
    unit.commit()  # the row and both messages, or nothing
print("Stream order-1 is at version", paid.position)
""",
    ),
    _Step(
        "Reject stale decisions: optimistic concurrency",
        """\
from mdb_sqla import WrongExpectedVersion
try:
    with UnitOfWork(new_session) as unit:
        unit.session.get_one(Order, 1).state = "cancelled"
        unit.write("order-1", Message("Cancelled"), expected_version=0)
        unit.commit()  # raises, and rolls back the row
except WrongExpectedVersion as error:
    print(error)
""",
    ),
    _Step(
        "Maintain a read model: each message takes effect exactly once",
        """\
from sqlalchemy import select
from mdb_sqla import Consumer, StoredMessage
consumer = Consumer("sales", "order")

@consumer.on("Paid")
def add_sale(message: StoredMessage, unit: UnitOfWork) -> None:
    unit.session.add(Sale(amount=message.data["amount"]))

consumer.catch_up(new_session)  # commits the sale and its position
consumer.catch_up(new_session)  # resumes from there: nothing to do
with new_session() as session:
    print("Sales:", session.scalars(select(Sale.amount)).all())
""",
    ),
    _Step(
        "Read a stream",
        """\
from mdb_sqla import MessageStore
with new_session() as session:
    for message in MessageStore(session).read_stream("order-1"):
        print(message.position, message.type, message.data)
    print("The order is", session.get_one(Order, 1).state)
""",
    ),
]

_INTRODUCTION = """
A tour in five steps: each shows its code, runs it, and shows the output. The
code uses an engine, a sessionmaker (new_session) and two mapped classes (Order
and Sale), as your application does.
"""

_NEXT_STEPS = """\
    mdb dev         Run a PostgreSQL server with a store for development
    mdb revision    Add the store to your application's Alembic migrations

    Tutorial, from an empty directory to an application with tests:
    https://github.com/mdb-sqla/mdb_sqla/blob/HEAD/docs/tutorial/index.md
"""

# Legible on dark and on light terminals.
_THEME = ANSISyntaxTheme(
    {
        ("Comment",): Style(dim=True),
        ("Keyword",): Style(color="magenta"),
        ("Literal", "Number"): Style(color="cyan"),
        ("Literal", "String"): Style(color="yellow"),
        ("Name", "Decorator"): Style(color="magenta"),
        ("Operator", "Word"): Style(color="magenta"),
    }
)


def run(engine: Engine, output: Console) -> None:
    """Show each step's code, run it on an empty database, and show what it prints."""
    names: dict[str, Any] = {
        "__name__": "__main__",
        "engine": engine,
        "new_session": sessionmaker(engine),
        "Base": _Base,
        "Order": _Order,
        "Sale": _Sale,
    }
    output.print(_INTRODUCTION)
    for number, step in enumerate(_STEPS, 1):
        output.print(f"{number}. {step.title}", style="bold")
        output.print(_highlighted(indent(step.code, "    ")), end="")
        output.print(indent(_executed(step, names), "  → "), style="green")
    output.print("What next?", style="bold")
    output.print(_NEXT_STEPS, end="")


def _highlighted(code: str) -> Text:
    # Text, because a console pads a Syntax to its width.
    return Syntax("", "python", theme=_THEME).highlight(code)


def _executed(step: _Step, names: dict[str, Any]) -> str:
    """Execute the code of a step, and return what it prints."""
    code = compile(step.code, step.title, "exec", dont_inherit=True)
    with redirect_stdout(io.StringIO()) as printed:
        exec(code, names)  # noqa: S102 (so that the code shown is the code run)
    return printed.getvalue()
