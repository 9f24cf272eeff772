"""Commands that set retention policies, and delete what they do not keep."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

import typer

from mdb_sqla import retention
from mdb_sqla.cli.interruption import interruptible
from mdb_sqla.cli.listing import print_paragraph
from mdb_sqla.cli.open_transaction_output import long_open_writers, print_open_writers
from mdb_sqla.cli.options import Schema, Url, connected, errors, output
from mdb_sqla.cli.os_user import os_user
from mdb_sqla.cli.printing import Json, print_json, shown
from mdb_sqla.cli.quantities import plural
from mdb_sqla.database.error_translation import translated
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.retention import CategoryDeletion, RetentionPolicy
from mdb_sqla.words.durations import parse_duration

__all__ = ["delete_policy", "list_policies", "run", "set_policy"]

Category = Annotated[str, typer.Argument(metavar="CATEGORY", help="The category.")]


def _duration(text: str | timedelta) -> timedelta:
    try:
        return text if isinstance(text, timedelta) else parse_duration(text)
    except InvalidArgument as error:
        raise typer.BadParameter(str(error)) from None


def set_policy(
    category: Category,
    url: Url = None,
    keep_age: Annotated[
        timedelta | None,
        typer.Option(
            metavar="DURATION",
            parser=_duration,
            help="Keep messages for this long, such as 30d, 12h or 90min.",
            show_default=False,
        ),
    ] = None,
    keep_last: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Keep the last N messages of each stream."),
    ] = None,
    forget_versions: Annotated[
        bool,
        typer.Option(
            "--forget-versions",
            help="Let a stream start at position 0 again when all of its messages are deleted.",
        ),
    ] = False,
    archive: Annotated[
        str | None,
        typer.Option(
            metavar="ARCHIVE",
            help="Archive messages first, in a folder or a URL such as s3://bucket/folder.",
            show_default=False,
        ),
    ] = None,
    archive_format: Annotated[
        str,
        typer.Option(metavar="jsonl|parquet", help="Format of the archive's files."),
    ] = "jsonl",
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Set the retention policy of a category.

    A message is deleted when no rule keeps it, and only after all consumers that read the category
    have handled it. Without rules, that is at once, as for an outbox. Nothing is deleted until
    `mdb retention run`.

    Example: mdb retention set order --keep-age 30d --keep-last 1

    Example: mdb retention set order --keep-age 1d --archive s3://shop/events
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        policy = retention.set_policy(
            connection,
            category,
            keep_age=keep_age,
            keep_last=keep_last,
            keep_versions=not forget_versions,
            archive=archive,
            archive_format=archive_format,
            by=os_user(),
        )
    said = f"Set the retention policy of {policy.category}: keep {policy}."
    print_paragraph(output, shown(said), indent="")


def list_policies(url: Url = None, schema: Schema = DEFAULT_SCHEMA, as_json: Json = False) -> None:
    """List the retention policies.

    Example: mdb retention list
    """
    with connected(url, schema) as engine, translated(), engine.connect() as connection:
        found = retention.policies(connection)
    if as_json:
        print_json([_as_dict(policy) for policy in found])
    elif found:
        for policy in found:
            _print_policy(policy)
    else:
        errors.print("No retention policies.")


def delete_policy(category: Category, url: Url = None, schema: Schema = DEFAULT_SCHEMA) -> None:
    """Delete the retention policy of a category.

    Its messages are kept from then on.

    Example: mdb retention delete order
    """
    with connected(url, schema) as engine, translated(), engine.begin() as connection:
        if not retention.delete_policy(connection, category, by=os_user()):
            raise InvalidArgument(f"There is no retention policy for category {category!r}")
    output.print(shown(f"Deleted the retention policy of {category}."))


def run(
    url: Url = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be deleted, and delete nothing.")
    ] = False,
    category: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CATEGORY", help="Only this category; repeatable.", show_default=False
        ),
    ] = None,
    ignore_consumer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONSUMER",
            help="Also delete what this consumer has not handled; repeatable.",
            show_default=False,
        ),
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Delete the messages that the retention policies do not keep.

    Deletes in batches, each in its own transaction, without blocking writers or readers. If the
    policy has an archive, messages are written to it first. Also shows what holds back other
    messages: consumers that have not handled them, and dead letters.

    Example: mdb retention run --dry-run
    """
    chosen: dict[str, Any] = {
        "categories": category or [],
        "ignore_consumers": ignore_consumer or [],
    }
    with connected(url, schema) as engine:
        if dry_run:
            found = retention.plan(engine, **chosen)
        else:
            with interruptible("Run it again to delete the rest."):
                found = retention.run(engine, **chosen)
        if as_json:
            print_json([_deletion_as_dict(each) for each in found])
            return
        for each in found:
            _print_deletion(each, dry_run=dry_run)
        if not found:
            errors.print("No retention policies.")
        if any(each.holds for each in found):
            print_open_writers(long_open_writers(engine))


def _print_policy(policy: RetentionPolicy) -> None:
    print_paragraph(output, shown(f"{policy.category}: keep {policy}"), indent="")


def _print_deletion(deletion: CategoryDeletion, *, dry_run: bool) -> None:
    _print_policy(deletion.policy)
    verb = "would delete" if dry_run else "deleted"
    what = f"{verb} {plural(deletion.messages, 'message')}"
    if deletion.first_time is not None and deletion.last_time is not None:
        what += (
            f", from {deletion.first_time:%Y-%m-%d %H:%M:%S}Z "
            f"to {deletion.last_time:%Y-%m-%d %H:%M:%S}Z"
        )
    print_paragraph(output, what, indent="  ")
    for hold in deletion.holds:
        print_paragraph(output, shown(f"held back: {hold}"), indent="  ")


def _as_dict(policy: RetentionPolicy) -> dict[str, Any]:
    age = policy.keep_age
    return asdict(policy) | {"keep_age": None if age is None else age.total_seconds()}


def _deletion_as_dict(deletion: CategoryDeletion) -> dict[str, Any]:
    return asdict(deletion) | {
        "policy": _as_dict(deletion.policy),
        "holds": [{**hold._asdict(), "text": str(hold)} for hold in deletion.holds],
    }
