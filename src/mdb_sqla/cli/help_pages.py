"""Help pages: all commands on one screen, and no types of flags."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from typer.core import TyperCommand, TyperGroup

from mdb_sqla.cli.interruption import interruptible

__all__ = ["HelpCommand", "HelpGroup"]

_SELDOM = "--show-completion"
"""An option that is left out of the page, which has to fit on a screen."""

_COMPLETION = {
    "--install-completion": "Install completion for the current shell.",
    _SELDOM: "Print the completion script of the current shell.",
}


class HelpCommand(TyperCommand):
    """A command whose flags are shown without a type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters."""
        return _prepared(super().get_params(ctx))


class HelpGroup(TyperGroup):
    """A group of commands, listed by panel in as few lines as possible."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters."""
        return _prepared(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl-C ends it with status 130."""
        with interruptible():
            return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help page."""
        console = Console(highlight=False, markup=False, emoji=False)
        # All commands fit on a screen of 50 lines.
        console.print(self.get_usage(ctx).strip(), style="bold", soft_wrap=True)
        console.print(self.help)
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            first, *_ = (command.help or "").splitlines() or [""]
            panel = getattr(command, "rich_help_panel", None) or "Commands"
            panels.setdefault(panel, []).append((name, first))
        width = max(len(name) for rows in panels.values() for name, _ in rows)
        for panel, rows in panels.items():
            _print_panel(console, panel, rows, width)
        options = [
            (", ".join(each.opts), each.help or "")
            for each in self.get_params(ctx)
            if _SELDOM not in each.opts
        ]
        _print_panel(console, "Options", options, max(len(name) for name, _ in options))


def _print_panel(console: Console, title: str, rows: list[tuple[str, str]], width: int) -> None:
    # A panel of rich has two lines more.
    console.print(Rule(title, align="left", style="dim"))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=width + 1, style="bold cyan", no_wrap=True)
    for name, text in rows:
        table.add_row(f" {name}", text)
    console.print(table)


def _prepared(parameters: list[Any]) -> list[Any]:
    for each in parameters:
        if getattr(each, "is_flag", False):
            each.metavar = ""
        for option in _COMPLETION.keys() & set(each.opts):
            each.help = _COMPLETION[option]
    return parameters
