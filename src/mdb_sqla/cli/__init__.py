"""The command `mdb`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from inspect import getdoc
from typing import Annotated

import typer

from mdb_sqla.cli import (
    archive_commands,
    consumer_change_commands,
    consumer_commands,
    database_commands,
    dead_letter_commands,
    erasure_commands,
    host_command,
    message_commands,
    metrics_command,
    operation_command,
    projection_commands,
    relay_command,
    report_commands,
    retention_commands,
    server_commands,
    store_commands,
    transfer_commands,
    type_commands,
    verify_commands,
    web_command,
)
from mdb_sqla.cli.failures import message_and_status
from mdb_sqla.cli.help_pages import HelpCommand, HelpGroup
from mdb_sqla.cli.options import discard_output, fail, output, prepare_streams
from mdb_sqla.database.error_translation import translated

__all__ = ["main"]

_COMMANDS: dict[str, dict[str, Callable[..., object]]] = {
    "Store": {
        "upgrade": store_commands.upgrade,
        "revision": store_commands.revision,
        "downgrade": store_commands.downgrade,
        "create-database": database_commands.create_database,
        "delete-database": database_commands.delete_database,
        "recreate-database": database_commands.recreate_database,
        "clear": database_commands.clear,
        "lock-granularity": store_commands.granularity,
        "protect": store_commands.protect,
    },
    "Messages": {
        "write": message_commands.write,
        "print": message_commands.print_messages,
        "tail": message_commands.tail,
        "export": transfer_commands.export_messages,
        "import": transfer_commands.import_messages,
        "erase": erasure_commands.erase,
        "forget": erasure_commands.forget,
    },
    "Consumers": {
        "host": host_command.run_host,
        "relay": relay_command.run_relays,
        "consumers": consumer_commands.consumers,
        "pause-consumer": consumer_change_commands.pause_consumer,
        "resume-consumer": consumer_change_commands.resume_consumer,
        "reset-consumer": consumer_change_commands.reset_consumer,
        "delete-consumer": consumer_change_commands.delete_consumer,
    },
    "Reports": {
        "web": web_command.web,
        "summary": report_commands.summary,
        "report": report_commands.report,
        "operations": operation_command.operations,
        "verify": verify_commands.verify,
        "benchmark": verify_commands.benchmark,
        "metrics": metrics_command.metrics,
        "version": database_commands.version,
    },
    "Development": {
        "dev": server_commands.dev,
        "demo": server_commands.demo,
    },
}

_GROUPS: dict[str, dict[str, tuple[str, dict[str, Callable[..., object]]]]] = {
    "Messages": {
        "archive": (
            "List, verify or restore archived messages.",
            {
                "list": archive_commands.list_files,
                "verify": archive_commands.verify,
                "restore": archive_commands.restore,
            },
        ),
        "types": (
            "Export and check the schemas of message types.",
            {"export": type_commands.export, "check": type_commands.check},
        ),
        "retention": (
            "Set retention policies, and delete what they do not keep.",
            {
                "set": retention_commands.set_policy,
                "list": retention_commands.list_policies,
                "delete": retention_commands.delete_policy,
                "run": retention_commands.run,
            },
        ),
    },
    "Consumers": {
        "dead-letters": (
            "List, replay or skip dead letters.",
            {
                "list": dead_letter_commands.list_letters,
                "replay": dead_letter_commands.replay_letters,
                "skip": dead_letter_commands.skip_letter,
            },
        ),
        "projections": (
            "Rebuild projections, and switch to new versions.",
            {
                "list": projection_commands.list_projections,
                "rebuild": projection_commands.rebuild,
                "switch": projection_commands.switch,
                "mode": projection_commands.mode,
                "drop": projection_commands.drop,
            },
        ),
    },
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; the entry point of `mdb`.

    Args:
        arguments: the command line; default: the process's arguments.
    """
    prepare_streams()
    try:
        with translated():
            # Not that of `python -m mdb_sqla` or of a tool under its old name.
            _app()(args=arguments, prog_name="mdb")
    except Exception as error:
        # Errors of drivers have no common class; an unexpected one is raised again.
        if isinstance(error, OSError):
            discard_output()
        if (failure := message_and_status(error)) is None:
            raise
        fail(*failure)


def _app() -> typer.Typer:
    app = _group("Event store, message store and outbox for SQLAlchemy and PostgreSQL.")
    app.callback()(_mdb)
    for panel, commands in _COMMANDS.items():
        for name, function in commands.items():
            _add(app, name, function, panel)
        for name, (help_, of_group) in _GROUPS.get(panel, {}).items():
            group = _group(help_)
            for subcommand, function in of_group.items():
                _add(group, subcommand, function)
            app.add_typer(group, name=name, rich_help_panel=panel)
    return app


def _add(
    app: typer.Typer, name: str, function: Callable[..., object], panel: str | None = None
) -> None:
    # Lines of a paragraph are filled anew.
    text = re.sub(r"(?<!\n)\n(?!\n)", " ", getdoc(function) or "")
    summary, _, _ = text.partition("\n")
    decorate = app.command(
        name, cls=HelpCommand, help=text, short_help=summary, rich_help_panel=panel
    )
    decorate(function)


def _group(help_: str) -> typer.Typer:
    return typer.Typer(
        cls=HelpGroup, help=help_, no_args_is_help=True, pretty_exceptions_enable=False
    )


def _show_version(value: bool) -> None:
    if value:
        output.print(f"mdb_sqla {version('mdb_sqla')}")
        raise typer.Exit


def _mdb(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version of mdb_sqla.",
        ),
    ] = False,
) -> None:
    pass
