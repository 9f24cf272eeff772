"""Draws each picture of this folder, light and dark: `make pictures`.

A picture begins with a digest of what it is drawn from, by which a test sees that it is current.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
STYLE = FOLDER / "style.typ"
THEMES = ("light", "dark")
FONTS = ("Inter", "JetBrains Mono")


def sources() -> list[Path]:
    """Return the files that a picture is drawn from."""
    return sorted({*FOLDER.glob("*.typ")} - {STYLE})


def picture(source: Path, theme: str) -> Path:
    return source.with_name(f"{source.stem}-{theme}.svg")


def made_of(source: Path, inputs: Mapping[str, str]) -> str:
    """Return the first line of a picture."""
    parts: Sequence[bytes] = (
        source.read_bytes(),
        STYLE.read_bytes(),
        *(f"{name}={value}".encode() for name, value in inputs.items()),
    )
    return f"<!-- {source.name}: {sha256(b'|'.join(parts)).hexdigest()} -->\n"


def draw(source: Path, file: Path, inputs: Mapping[str, str]) -> None:
    """Draw a source with its inputs, such as the theme, into a file."""
    import fontpkg
    import typst

    svg = typst.compile(
        source,
        format="svg",
        root=ROOT,
        font_paths=[fontpkg.path(name).parent for name in FONTS],
        ignore_system_fonts=True,
        sys_inputs=dict(inputs),
    )
    file.write_text(made_of(source, inputs) + smaller(svg.decode()) + "\n", encoding="utf-8")


def smaller(svg: str) -> str:
    """Shorten the names of glyphs, and round what is finer than a hundredth of a point."""
    names: dict[str, str] = {}
    svg = re.sub(
        r"\bg[0-9A-F]{32}\b", lambda name: names.setdefault(name[0], f"g{len(names)}"), svg
    )
    svg = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", svg)
    return svg.replace(' fill-rule="nonzero"', "").replace(' x="0" y="0"', "").replace(' y="0"', "")


if __name__ == "__main__":
    for source in sources():
        for theme in THEMES:
            draw(source, picture(source, theme), {"theme": theme})
