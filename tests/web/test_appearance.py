"""Keys, narrow windows, colors, and the page without JavaScript."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.web.conftest import Open
from tests.web.flight_store import AIRCRAFT

VIEWS = [
    "",
    "map",
    "messages",
    "messages?category=aircraft&type=Arrived",
    "message?at=1",
    "consumers",
    "consumer?name=maintenance",
    "consumer?name=airports",
    "dead-letters",
    "dead-letters/of-kind?consumer=charges&type=Cancelled"
    "&error=ValueError:%20No%20charge%20for%20a%20cancelled%20flight",
    "retention",
    f"search?q={AIRCRAFT}",
    "consumer?name=none",
]

# The contrast of each text with its background, as WCAG 2 computes it, where it is too low.
LOW_CONTRAST = """
() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => {
      c /= 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const isSvg = element instanceof SVGElement;
    const color = parse(isSvg ? style.fill : style.color);
    const a = light(color), b = light(background(element));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push([walker.currentNode.data.trim(), contrast.toFixed(2)]);
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(open_page: Open, site: str, scheme: Any) -> None:
    visitor = open_page(site, color_scheme=scheme)
    backgrounds = set()
    for view in VIEWS:
        visitor.visit(f"{site}/{view}")
        assert visitor.page.evaluate(LOW_CONTRAST) == [], view
        backgrounds.add(visitor.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert backgrounds == {{"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]}
    visitor.allow("404")


def test_narrow(open_page: Open, site: str) -> None:
    visitor = open_page(site, viewport={"width": 400, "height": 800})
    for view in VIEWS:
        visitor.visit(f"{site}/{view}")
        width = visitor.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 400, view
        # What is wider can be scrolled by itself.
        assert visitor.page.evaluate(
            """() => [...document.querySelectorAll("table, svg.map, pre")].every(
                (e) => e.getBoundingClientRect().right <= innerWidth + 1
                  || e.closest(".scroll, pre"))"""
        ), view
    visitor.allow("404")


def test_without_javascript(open_page: Open, site: str) -> None:
    visitor = open_page(site, java_script_enabled=False)
    page = visitor.page
    for view in VIEWS:
        visitor.visit(f"{site}/{view}")
        assert page.locator("main h1").inner_text()
        assert not page.locator("#live-control").is_visible()
    page.fill("#search", "aircraft")
    page.press("#search", "Enter")
    page.fill("input[name=type]", "Cancelled")
    page.click("button:text-is('Filter')")
    assert {row[2] for row in visitor.rows()} == {"Cancelled"}
    page.click("a:text-is('Consumers')")
    page.click("a:text-is('charges')")
    assert page.inner_text("h1") == "Consumer charges"
    visitor.visit(f"{site}/messages")
    page.click("a[rel=next]")
    assert len(visitor.rows()) == 50
    visitor.allow("404")


def test_keys(open_page: Open, site: str) -> None:
    page = open_page(f"{site}/messages").page
    rows = page.locator("a.row")

    for key, row in (("j", 0), ("j", 1), ("j", 2), ("k", 1), ("k", 0), ("k", 0)):
        page.keyboard.press(key)
        expect(rows.nth(row)).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("j/n")  # text, not keys
    assert page.input_value("#search") == "j/n"
    page.keyboard.press("Tab")
    page.keyboard.press("n")
    page.wait_for_url("**beyond=*")
    page.keyboard.press("j")
    position = rows.first.inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(f"at {position}")


def test_j_stays_at_the_last_row(open_page: Open, site: str) -> None:
    page = open_page(f"{site}/messages?type=Cancelled").page
    rows = page.locator("a.row")
    for _ in range(rows.count() + 2):
        page.keyboard.press("j")
    expect(rows.last).to_be_focused()


def test_tab_order(open_page: Open, site: str) -> None:
    page = open_page(site).page
    reached = []
    for _ in range(11):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.innerText.trim() || document.activeElement.id")
        )
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "2px"
    views = ["Overview", "Map", "Messages", "Consumers", "Dead letters", "Retention"]
    assert reached[0] == "Skip to the content"
    assert reached[2:] == [*views, "search", "Live", reached[-1]]


def test_the_skip_link(open_page: Open, site: str) -> None:
    page = open_page(f"{site}/messages").page
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_structure(open_page: Open, site: str) -> None:
    """What a screen reader needs: a title, headings in order, and labels."""
    visitor = open_page(site)
    for view in VIEWS:
        visitor.visit(f"{site}/{view}")
        page = visitor.page
        assert page.locator("h1").count() == 1
        assert page.title().startswith(page.inner_text("h1"))
        unlabeled = page.evaluate(
            """() => [...document.querySelectorAll("input, select, button, svg.chart, a")].filter(
                (e) => e.type !== "hidden" && !e.innerText?.trim() && !e.textContent.trim()
                  && !e.labels?.length && !e.ariaLabel).map((e) => e.outerHTML)"""
        )
        assert unlabeled == [], view
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
        assert len(ids) == len(set(ids)), view
    visitor.allow("404")
