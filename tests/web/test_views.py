from __future__ import annotations

from tests.web.conftest import Open


def test_first(open_page: Open, site: str) -> None:
    visitor = open_page(site)
    print(visitor.text)
    print(visitor.rows())
    visitor.page.screenshot(path="/tmp/wt-overview.png", full_page=True)
