"""Makes the README's links absolute: the package index has none of the files that they point to.

All other settings are in pyproject.toml.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

FOLDER = Path(__file__).parent
LINK = re.compile(r'(\]\(|src="|srcset=")(?!https?://|#)([^)"]+)')


def absolute_links(text: str, repository: str) -> str:
    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link[2].endswith(".svg") else "blob"
        return f"{link[1]}{repository}/{kind}/HEAD/{link[2]}"

    return LINK.sub(absolute, text)


project = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
readme = (FOLDER / "README.md").read_text(encoding="utf-8")

setup(
    long_description=absolute_links(readme, project["urls"]["Repository"]),
    long_description_content_type="text/markdown",
)
