"""How Sphinx builds the site: from the whole repository, so that links are as on GitHub."""

from __future__ import annotations

import re
from html import escape
from importlib.metadata import version as version_of
from pathlib import Path
from textwrap import shorten
from typing import Any

import typer
from docutils import nodes
from docutils.nodes import Node
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sqlalchemy.dialects import postgresql
from typer.cli import get_docs_for_click

import mdb_sqla.cli
from mdb_sqla import tables

project = "mdb_sqla"
version = release = version_of("mdb_sqla")
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    "docs/*.md",
    "docs/*/*.md",
    "examples/*/README.md",
]
exclude_patterns = [".*", "build", "src", "tests"]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]

myst_enable_extensions = ["tasklist"]
myst_heading_anchors = 3
smartquotes = False

# A word between single backticks is code in docstrings, as in Markdown.
default_role = "literal"
napoleon_use_ivar = True

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

html_theme = "furo"
html_title = "mdb_sqla"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_extra_path = ["_site"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/version.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_theme_options = {
    "source_repository": "https://github.com/mdb-sqla/mdb_sqla",
    "source_branch": "main",
    "source_directory": "",
    "top_of_page_buttons": ["view", "edit"],
}

# Copied without the prompts, and without what a command prints.
copybutton_exclude = ".linenos, .gp, .go"
pygments_style = "friendly"
pygments_dark_style = "monokai"


class CommandLine(SphinxDirective):
    """The commands of `mdb`, from what they say in their `--help`."""

    def run(self) -> list[Node]:
        """Return a section for each command."""
        command = typer.main.get_command(mdb_sqla.cli._app())
        text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="mdb")
        _title, _, rest = text.partition("\n")
        rest = re.sub("^Example: (.+)$", r"Example: `\1`", rest, flags=re.MULTILINE)
        self.content = StringList(rest.splitlines(), source="mdb --help")
        return self.parse_content_to_nodes(allow_section_headings=True)


class Tables(SphinxDirective):
    """The tables and views, with the types of their columns."""

    def run(self) -> list[Node]:
        """Return a section for each of them."""
        text = []
        for table in tables.metadata.tables.values():
            text += [f"## {table.name}", "", "| column | type | null |", "|---|---|---|"]
            for column in table.columns:
                type_ = column.type.compile(dialect=postgresql.dialect())
                text.append(f"| `{column.name}` | {type_.lower()} | {_yes(column.nullable)} |")
            text.append("")
        self.content = StringList(text, source="mdb_sqla.tables")
        return self.parse_content_to_nodes(allow_section_headings=True)


def _yes(value: bool | None) -> str:
    return "yes" if value else "no"


def in_restructured_text(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Rewrite what docstrings have of Markdown: tables, and code that is indented."""
    text: list[str] = []
    for number, line in enumerate(lines):
        if line.startswith("|"):
            if not lines[number - 1].startswith("|"):
                text += [".. list-table::", "   :header-rows: 1", ""]
            if not line.startswith("|---"):
                cells = line.strip("| ").split(" | ")
                text += [f"   {'*' if not at else ' '} - {cell}" for at, cell in enumerate(cells)]
            continue
        if line.startswith("    ") and text and not text[-1]:
            before = next(each for each in reversed(text) if each)
            if not before.startswith((" ", "::")):
                text += ["::", ""]
        text.append(line)
    lines[:] = text


def without_fields(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leave out what a named tuple says of its fields by itself: nothing."""
    return True if str(obj.__doc__).startswith("Alias for field number") else None


PICTURE = re.compile(r'<picture>.*?<img\s+src="([^"]+)"\s+alt="([^"]*)".*?</picture>', re.DOTALL)


def with_dark_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Show `…-light.svg` on light pages, and its dark twin on dark ones.

    For GitHub, a page may have both in an element `picture`.
    """
    for raw in list(doctree.findall(nodes.raw)):
        if found := PICTURE.search(raw.astext()):
            raw.parent.replace(raw, nodes.image(uri=found[1], alt=" ".join(found[2].split())))
    for light in list(doctree.findall(nodes.image)):
        if light["uri"].endswith("-light.svg"):
            dark = light.deepcopy()
            dark["uri"] = light["uri"].removesuffix("-light.svg") + "-dark.svg"
            light["classes"] += ["picture", "only-light"]
            dark["classes"] += ["picture", "only-dark"]
            light.parent.insert(light.parent.index(light) + 1, dark)


def with_description(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Node | None
) -> None:
    """Describe a page, by its first paragraph, to search engines and where it is linked."""
    if context.get("title") == project and pagename != root_doc:
        context["title"] = pagename  # the README
    paragraphs = doctree.findall(nodes.paragraph) if doctree else ()
    for text in (" ".join(paragraph.astext().split()) for paragraph in paragraphs):
        if text and not text.startswith("<"):
            description = escape(shorten(text, 200, placeholder=" …"))
            title = escape(nodes.Text(context["title"]).astext())
            context["metatags"] += (
                f'<meta name="description" content="{description}">'
                f'<meta property="og:title" content="{title}">'
                f'<meta property="og:description" content="{description}">'
                f'<meta property="og:site_name" content="{project}">'
            )
            return


def with_all_pages(app: Sphinx, docname: str, content: list[str]) -> None:
    """Put pages that the navigation does not name where it says `all-others` of their folder."""
    if docname != root_doc:
        return
    named = {*content[0].splitlines()}

    def others(match: re.Match[str]) -> str:
        folder = match[1]
        pages = [folder + page.stem for page in (Path(app.confdir) / folder).glob("*.md")]
        return "".join(f"{page}\n" for page in sorted({*pages} - named - {"index"}))

    content[0] = re.sub(r"^(.*)all-others\n", others, content[0], flags=re.MULTILINE)


def setup(app: Sphinx) -> None:
    """Add what is ours; docstrings are rewritten before napoleon looks for their sections."""
    app.add_directive("command-line", CommandLine)
    app.add_directive("tables", Tables)
    app.connect("autodoc-process-docstring", in_restructured_text, priority=400)
    app.connect("autodoc-skip-member", without_fields)
    app.connect("source-read", with_all_pages)
    app.connect("html-page-context", with_description)
    # Before Sphinx collects the images.
    app.connect("doctree-read", with_dark_pictures, priority=100)
