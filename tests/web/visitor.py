"""A visitor of the web interface: a page of the browser that notes what goes wrong."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

__all__ = ["Visitor"]


class Visitor:
    """A page of the browser.

    Args:
        page: the page.

    Attributes:
        page: the page.
        problems: the errors in its console, uncaught exceptions and dialogs.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        page.on("dialog", self._note_dialog)

    def visit(self, url: str) -> int:
        """Open a page; returns the HTTP status."""
        response = self.page.goto(url)
        assert response is not None
        return response.status

    @property
    def text(self) -> str:
        """What is shown in the main part, with white space as single spaces."""
        return " ".join(self.page.inner_text("main").split())

    def rows(self, table: int = 0) -> list[list[str]]:
        """Return the texts of the cells of a table."""
        found: list[list[str]] = (
            self.page.locator("main table")
            .nth(table)
            .evaluate(
                "t => [...t.tBodies[0].rows].map(r => [...r.cells].map(c => c.innerText.trim()))"
            )
        )
        return found

    def allow(self, *texts: str) -> None:
        """Forget problems that the test has caused."""
        self.problems = [each for each in self.problems if not any(t in each for t in texts)]

    def _note_console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def _note_dialog(self, dialog: Any) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()
