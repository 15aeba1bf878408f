"""A page that is open in a browser, and all that it does that it should not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CONTRAST = """
() => {
  const numbers = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) =>
      v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (node) => {
    const [r, g, b, a = 1] = numbers(getComputedStyle(node).backgroundColor);
    if (a === 1) return [r, g, b];
    const under = node.parentElement ? behind(node.parentElement) : [255, 255, 255];
    return [r, g, b].map((v, k) => v * a + under[k] * (1 - a));
  };
  const found = [];
  for (const node of document.querySelectorAll("h1, h2, h3, p, th, td, dt, dd, b, a, li, code,"
      + " button, select, .figure, figcaption, .soft, svg text:not(.mark)")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    if (node.closest("svg") && node.closest("[fill-opacity], [role=group]:not(.map)")) continue;
    const ink = light(numbers(node.closest("svg") ? style.fill : style.color));
    const ground = light(behind(node));
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    found.push([ratio, node.textContent.slice(0, 60)]);
  }
  return found;
}
"""
"""WCAG's contrast of every text that is seen with what is behind it; texts on a coloured square of
a matrix are left out, since their ground is a drawing."""


@contextmanager
def opened(browser: Browser, file: Path, **context: Any) -> Iterator[Page]:
    """Open a page; when done with, fail if it complained, loaded anything or opened a dialog."""
    wrong: list[str] = []
    with browser.new_context(**context) as own:
        page = own.new_page()
        page.on("console", lambda message: wrong.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        page.on(
            "request",
            lambda request: (
                request.url in {file.as_uri()}
                or request.url.startswith("data:image/jpeg;base64,")
                or wrong.append(f"request: {request.url[:200]}")
            ),
        )
        page.goto(file.as_uri())
        yield page
        page.wait_for_timeout(50)
    assert not wrong
