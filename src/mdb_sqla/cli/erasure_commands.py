"""Commands that erase streams, and forget the keys of subjects."""

from __future__ import annotations

from typing import Annotated

import typer

from mdb_sqla.cli.options import Schema, Url, connected, output
from mdb_sqla.cli.printing import shown
from mdb_sqla.cli.quantities import plural
from mdb_sqla.database.error_translation import translated
from mdb_sqla.erasure import erase_stream, forget_subject
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["erase", "forget"]

Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the log of deletions.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def erase(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="The stream.")],
    reason: Reason,
    url: Url = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Delete the messages, not only their contents.")
    ] = False,
    announce: Annotated[
        bool, typer.Option("--announce", help="Write an Erased message to the stream.")
    ] = False,
    yes: Yes = False,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Erase the data and metadata of a stream's messages.

    Consumers skip erased messages. It can't be undone, and does not reach backups, archives,
    published copies, read models and logs.

    Example: mdb erase customer-4711 --reason "request 123"
    """
    with connected(url, schema, writes=True) as engine:
        if not yes:
            what = "Delete all messages" if whole else "Erase the contents of all messages"
            where = f"in schema {schema} of database {engine.url.database}"
            typer.confirm(shown(f"{what} of {stream} {where}?"), abort=True)
        with translated(), engine.begin() as connection:
            erased = erase_stream(connection, stream, reason=reason, whole=whole, announce=announce)
    if not erased.messages:
        output.print(shown(f"There was nothing left to erase in {stream}."))
        return
    number = plural(erased.messages, "message")
    done = f"Deleted {number}" if whole else f"Erased the contents of {number}"
    output.print(shown(f"{done} of {stream}."))


def forget(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The subject.")],
    reason: Reason,
    url: Url = None,
    yes: Yes = False,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Delete the key of a subject's encrypted data.

    Nobody can decrypt the data any more, in any message, wherever it was copied. It can't be
    undone. Running processes forget the key within a minute, unless they set another time. Backups
    contain the key until they are deleted.

    Example: mdb forget customer-4711 --reason "request 123"
    """
    with connected(url, schema) as engine:
        if not yes:
            where = f"in schema {schema} of database {engine.url.database}"
            typer.confirm(shown(f"Delete the key of {subject} {where}?"), abort=True)
        with translated(), engine.begin() as connection:
            forgotten = forget_subject(connection, subject, reason=reason)
    was = "was already forgotten" if not forgotten else "is forgotten"
    output.print(shown(f"Subject {subject} {was}."))
