"""Runs the snippets of the README and of every page below docs/, each page from top to bottom."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path

import pytest
from opentelemetry.util._once import Once
from sqlalchemy import URL, Engine, create_engine
from tenacity import wait_none

from mdb_sqla import migrations
from mdb_sqla.relay.config import read_config

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("**/*.md"))]
OTHERS = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("examples/*/README.md")]
FILES = {ROOT / "docs" / "testing.md", *ROOT.glob("docs/tutorial/*.md")}
"""Pages whose snippets are files of an application; tests/testing and test_tutorial run them."""

NATS = "nats://localhost"

PRINTED = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)
"""What a page says that a line prints; words may follow it."""

BLOCK = re.compile(
    r"^```(?:\{code-block\} )?(\w+)\n(?::[\w-]+:.*\n)*\n?(.*?)^```$", re.DOTALL | re.MULTILINE
)
LINK = re.compile(r'(?:\]\(|\b(?:src|srcset|href)=")(?!https?://)([^)#"]+)')


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """Return each block with the number of its first line."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start(2)) + 1, match[2])
        for match in BLOCK.finditer(text)
        if match[1] == language
    ]


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


# advanced-alchemy 1.12 uses it when it is imported, which SQLAlchemy 2.1 deprecates.
@pytest.mark.filterwarnings("ignore:The declarative_mixin decorator")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page not in FILES and blocks(page, "python")], ids=names
)
def test_python(
    page: Path,
    empty_database: URL,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    # The usual retries of a handler that always fails take 51 seconds.
    monkeypatch.setattr("mdb_sqla.consumers.retry_loop.wait_exponential", lambda **_: wait_none())
    url = empty_database.render_as_string(hide_password=False)
    places = {"postgresql+psycopg://localhost/shop": url}
    if any("set_tracer_provider" in source for _, source in blocks(page, "python")):
        # It can be set only once in a process, and would record the spans of all later tests.
        monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", None)
        monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER_SET_ONCE", Once())
    if any(NATS in source for _, source in blocks(page, "python")):
        places[NATS] = request.getfixturevalue("nats_server").url
    namespace: dict[str, object] = {"__name__": "__main__"}
    if page != README:
        # The README is complete; other pages start with an engine on a database with a store.
        engine = create_engine(empty_database)
        migrations.upgrade(engine)
        namespace["engine"] = engine
    try:
        for line, source in blocks(page, "python"):
            for place, real in places.items():
                source = source.replace(place, real)
            # Line numbers of the page in every traceback.
            code = compile("\n" * (line - 1) + source, page.name, "exec", dont_inherit=True)
            exec(code, namespace)
            printed = capsys.readouterr().out.splitlines()
            lines = iter(printed)
            for said in PRINTED.findall(source):
                assert any(is_said(line, said) for line in lines), (said, printed)
    finally:
        for used in namespace.values():
            if isinstance(used, Engine):
                used.dispose()


def is_said(line: str, said: str) -> bool:
    """Whether a printed line is what a page says of it, or what words follow."""
    return line != "" and (said == line or said.startswith((f"{line}: ", f"{line} where")))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "ini")], ids=names)
def test_ini(page: Path) -> None:
    for _, source in blocks(page, "ini"):
        parser = configparser.ConfigParser()
        parser.read_string(source)
        assert parser.sections() == ["alembic"]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=names)
def test_toml(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DATABASE_URL", "postgresql://localhost/shop")
    for number, (_, source) in enumerate(blocks(page, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(source)
        for name, table in read_config(file).relays.items():
            assert table.relay(name).name == name


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sql")], ids=names)
def test_sql(page: Path, database: URL) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        for _, source in blocks(page, "sql"):
            for statement in source.split(";\n"):
                if statement.strip():
                    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    engine.dispose()


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=names)
def test_links_within_the_project(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_is_short_and_its_example_complete() -> None:
    text = README.read_text(encoding="utf-8")
    example, *_ = (source for _, source in blocks(README, "python"))

    assert len(text.splitlines()) <= 150
    assert len([line for line in example.splitlines() if line.strip()]) <= 40
    # Every line that prints says what it prints, and test_python compares it.
    assert example.count("print(") == len(PRINTED.findall(example)) == 1
    assert "create_engine(" in example
    assert "migrations.upgrade(engine)" in example


def test_links_of_the_readme_to_the_repository() -> None:
    """Links to files are relative, and setup.py makes them absolute; others are the metadata's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    links = re.findall(r"\((https?://[^)]+)\)", README.read_text(encoding="utf-8"))

    assert len(LINK.findall(README.read_text(encoding="utf-8"))) > 30
    ours = {link for link in links if link.startswith(project["urls"]["Repository"])}
    assert ours <= {*project["urls"].values()}
