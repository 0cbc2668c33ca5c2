"""What stands on a page can be read: every text at 4.5:1 on what is behind it, as it is really drawn (WCAG 2.2, 1.4.3).

`test_palette.py` looks at the colours; here opacity, tints and rows of states have their say too.
"""

from __future__ import annotations

import pytest

from dashboards.app import create_app, now_ms
from tests.dashboards.browser import visiting
from tests.dashboards.server import serving
from tests.dashboards.test_browser import LivingReading

pytestmark = pytest.mark.asyncio(loop_scope="session")

PALE = """() => {
  const parse = (colour) => {
    const [red, green, blue, alpha = 1] = colour.match(/[\\d.]+/g).map(Number);
    return [red, green, blue, alpha];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const linear = (channel) => (channel / 255 <= 0.04045 ? channel / 3294.6 : ((channel / 255 + 0.055) / 1.055) ** 2.4);
  const light = (colour) => 0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2]);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const pale = [];
  let seen = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.data.trim();
    if (!text || !element.checkVisibility() || element.closest(".unseen, .skip, noscript, :disabled, option")) continue;
    let behind = [255, 255, 255, 1];
    let opacity = 1;
    const chain = [];
    for (let one = element; one; one = one.parentElement) chain.unshift(one);
    for (const one of chain) {
      const style = getComputedStyle(one);
      behind = over(parse(style.backgroundColor), behind);
      opacity *= Number(style.opacity);
    }
    const style = getComputedStyle(element);
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    ink[3] *= opacity;
    const [dark, bright] = [light(over(ink, behind)), light(behind)].sort((a, b) => a - b);
    seen += 1;
    if ((bright + 0.05) / (dark + 0.05) < 4.5) pale.push(`${text.slice(0, 30)} (${element.getAttribute("class")})`);
  }
  return [seen > 20, pale];
}"""


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(
    ("path", "shown", "size"),
    [("/", ".tile.is-down", (1920, 1080)), ("/target/lgsp-04", ".chart .main-svg text", (1366, 768))],
)
async def test_no_text_is_pale(chromium, path, shown, size, theme):
    async with (
        serving(create_app(LivingReading(), clock=now_ms)) as url,
        visiting(chromium, f"{url}{path}?theme={theme}", *size) as visit,
    ):
        await visit.page.wait_for_selector(shown)
        assert await visit.page.evaluate(PALE) == [True, []]
