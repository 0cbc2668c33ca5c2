"""The pages in a real browser: what fits, what lives, what is said when figures are old, and whom they talk to."""

from __future__ import annotations

import dataclasses
from urllib.parse import urlsplit

import pytest

from alerts.model import State
from dashboards.app import create_app, now_ms
from dashboards.wording import WORDS
from monitor.views import Name, Segment
from tests.dashboards import sample
from tests.dashboards.browser import visiting
from tests.dashboards.server import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
ENGLISH = sorted({en for vi, en in WORDS.values() if en != vi and len(en) > 5 and "{" not in en} - {"English"})


class LivingReading(sample.SampleReading):
    """A country whose monitor writes all the time, until `silent_ms` says for how long it has not."""

    silent_ms = 0

    async def overview(self, now_ms: int):
        shown = await super().overview(now_ms)
        return dataclasses.replace(shown, now_ms=now_ms, heartbeat_ms=now_ms - self.silent_ms)

    async def target_page(self, target: str, now_ms: int, window_s: int):
        page = await super().target_page(target, now_ms, window_s)
        return page and dataclasses.replace(page, heartbeat_ms=now_ms - self.silent_ms)


async def english_on(page) -> list[str]:
    text = await page.inner_text("body")
    return [words for words in ENGLISH if words in text]


async def fits_a_phone(page) -> bool:
    """Say whether a phone of 390 × 844 need not scroll sideways, once the charts have seen the new size."""
    await page.set_viewport_size({"width": 390, "height": 844})
    for _ in range(100):
        if await page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            return True
        await page.wait_for_timeout(50)
    return False


async def test_a_wall_shows_the_whole_country_without_a_scroll_bar(chromium):
    reading = LivingReading()
    async with serving(create_app(reading, clock=now_ms)) as url, visiting(chromium, url, 1920, 1080) as visit:
        await visit.page.wait_for_selector(".columns .tile")
        assert await visit.page.locator(".tile").count() == len(reading.shown.rows)
        outside = """() => {
          const scrolls = [...document.querySelectorAll("*")].filter((e) =>
            ["auto", "scroll"].includes(getComputedStyle(e).overflowY) && e.scrollHeight > e.clientHeight);
          const beyond = [...document.querySelectorAll(".tile, .agency, .count")].filter((e) => {
            const box = e.getBoundingClientRect();
            const board = (e.closest(".board") || document.body).getBoundingClientRect();
            return box.bottom > board.bottom + 1 || box.right > board.right + 1 || box.width < 60;
          });
          const root = document.documentElement;
          return [scrolls.length, beyond.length, root.scrollHeight > innerHeight, root.scrollWidth > innerWidth];
        }"""
        assert await visit.page.evaluate(outside) == [0, 0, False, False]
        assert await english_on(visit.page) == []
        assert "DỮ LIỆU MÔ PHỎNG" in await visit.page.inner_text(".header")
        assert await visit.page.evaluate("document.documentElement.lang") == "vi"
        assert await visit.page.title() == "Tổng quan · Thông Suốt"
        assert visit.hosts == {urlsplit(url).netloc}
        assert visit.complaints == []


async def test_a_wall_on_the_worst_night_counts_what_it_cannot_show(chromium):
    reading = LivingReading()
    reading.shown = sample.overview([row._replace(state=State.DOWN) for row in sample.many(3000)])
    async with serving(create_app(reading, clock=now_ms)) as url, visiting(chromium, url, 1920, 1080) as visit:
        await visit.page.wait_for_selector(".columns .tile")
        counted = await visit.page.evaluate("""() => {
          const count = (e) => Number(e.textContent.replace(/[^0-9]/g, ""));
          const sum = (found) => [...document.querySelectorAll(found)].map(count).reduce((a, b) => a + b, 0);
          const tiles = document.querySelectorAll(".tile").length;
          return [tiles > 100, tiles + sum(".hidden-count"), sum(".agency-counts .is-down")];
        }""")
        assert counted == [True, 3000, 3000]
        assert await visit.page.locator(".board.is-scrolling").count() == 0
        assert "3.000" in await visit.page.inner_text(".count.is-down")


async def test_a_change_appears_by_itself_and_disturbs_nothing(chromium):
    reading = LivingReading()
    reading.shown = sample.overview(sample.country())
    async with serving(create_app(reading, clock=now_ms)) as url, visiting(chromium, url, 1920, 1080) as visit:
        page = visit.page
        await page.wait_for_selector(".tile")
        await page.keyboard.press("/")
        await page.keyboard.type("cao bang")
        await page.wait_for_selector(".tally:has-text('4 / 252')")
        assert await page.locator(".tile").count() == 4
        await page.evaluate("window.kept = document.querySelector('[href=\"/target/lgsp-04\"].tile')")
        assert await page.locator(".tile.is-down").count() == 0
        reading.shown = sample.overview()
        await page.wait_for_selector(".tile.is-down[href='/target/lgsp-04']")
        assert await page.evaluate("window.kept === document.querySelector('[href=\"/target/lgsp-04\"].tile')")
        assert await page.evaluate("document.activeElement.type") == "search"
        assert await page.input_value("input[type=search]") == "cao bang"
        assert "q=cao+bang" in page.url
        assert await page.locator(".incident").count() == 3
        await page.click("button:has-text('Xóa lọc')")
        await page.wait_for_selector(".tally:has-text('252')")
        assert await fits_a_phone(page)


async def test_old_figures_are_called_old_whoever_is_silent(chromium):
    reading = LivingReading()
    async with serving(create_app(reading, clock=now_ms)) as url, visiting(chromium, url) as visit:
        page = visit.page
        await page.wait_for_selector(".tile")
        assert await page.locator(".banner").count() == 0
        reading.silent_ms = 16_000
        await page.wait_for_selector(".banner:has-text('Số liệu đã cũ 16 giây')")
        assert await page.evaluate("document.documentElement.hasAttribute('data-stale')")
        reading.silent_ms = 0
        await page.wait_for_selector(".banner", state="detached")
        reading.away = True
        await page.wait_for_selector(".banner:has-text('Kho số liệu không truy cập được')")
        assert await page.locator(".tile").count() > 0, "the last figures stay, marked as old"
        reading.away = False
        await page.wait_for_selector(".banner", state="detached")


async def test_a_wall_whose_server_is_gone_says_so_while_its_clock_runs_on_and_recovers(chromium):
    reading = LivingReading()
    async with serving(create_app(reading, clock=now_ms)) as url:
        port = urlsplit(url).port
        context = await chromium.new_context()
        page = await context.new_page()
        await page.clock.install()
        await page.goto(url)
        await page.wait_for_selector(".tile")
    before = await page.inner_text(".clock b")
    await page.clock.fast_forward(20_000)
    await page.wait_for_selector(".banner:has-text('Không liên lạc được với máy chủ web')")
    assert "Số liệu đã cũ 2" in await page.inner_text(".banner")
    assert await page.inner_text(".clock b") != before
    async with serving(create_app(LivingReading(), clock=now_ms), port):
        await page.clock.fast_forward(5_000)
        await page.wait_for_selector(".banner", state="detached")
        await context.close()


async def test_hostile_names_and_messages_are_only_text(chromium):
    reading = LivingReading()
    row = sample.row("x", HOSTILE, state=State.DOWN, reason=HOSTILE, message=HOSTILE, agency="evil")
    incident = dataclasses.replace(
        sample.incidents()[0], target="x", message=HOSTILE, reason=HOSTILE, impact=(HOSTILE,)
    )
    reading.shown = sample.overview([row], incidents=(incident,), agencies={"evil": Name(HOSTILE, HOSTILE)})
    page = sample.target_page()
    check = page.checks[0]._replace(name=HOSTILE, message=HOSTILE, address=HOSTILE, reason=HOSTILE)
    reading.pages["x"] = dataclasses.replace(
        page, row=row, checks=(check,), agency_name=Name(HOSTILE, ""), members=(row,)
    )
    async with serving(create_app(reading, clock=now_ms)) as url, visiting(chromium, url) as visit:
        await visit.page.wait_for_selector(".tile")
        assert HOSTILE in await visit.page.inner_text(".incident .message")
        await visit.page.goto(f"{url}/target/x")
        await visit.page.wait_for_selector(".chart .main-svg")
        assert HOSTILE in await visit.page.inner_text(".check-head")
        assert await visit.page.evaluate("window.hurt") is None
        assert visit.complaints == []
        assert visit.hosts == {urlsplit(url).netloc}


async def test_a_target_page_lives_without_drawing_its_charts_anew(chromium):
    reading = LivingReading()
    async with serving(create_app(reading, clock=now_ms)) as url, visiting(chromium, url) as visit:
        page = visit.page
        await page.click(".trouble[href='/target/lgsp-04']")
        await page.wait_for_selector(".chart .main-svg")
        assert await page.locator("#charts .chart").count() == 3
        assert await english_on(page) == []
        assert "LGSP Cao Bằng" in await page.title()
        await page.evaluate("window.kept = document.querySelector('#latency-0 .main-svg')")
        shown = sample.target_page()
        points = (*shown.checks[0].points[:-30],)
        reading.pages["lgsp-04"] = dataclasses.replace(
            shown, checks=(shown.checks[0]._replace(points=points, message="now it is late"), *shown.checks[1:])
        )
        await page.wait_for_selector(".check .message:has-text('now it is late')")
        assert await page.evaluate("window.kept === document.querySelector('#latency-0 .main-svg')")
        await page.click("button:has-text('6 giờ')")
        await page.wait_for_selector("button:has-text('6 giờ')[aria-pressed=true]")
        assert "window=21600" in page.url
        await page.click("button[aria-label='Giao diện sáng']")
        assert await page.evaluate("document.documentElement.dataset.theme") == "light"
        assert await fits_a_phone(page)
        await page.click("text=Về trang tổng quan")
        await page.wait_for_selector(".tile")
        assert visit.complaints == []
        assert visit.hosts == {urlsplit(url).netloc}


async def test_what_is_not_there_is_said_in_the_viewers_language(chromium):
    async with serving(create_app(LivingReading(), clock=now_ms)) as url, visiting(chromium, f"{url}/nowhere") as visit:
        await visit.page.wait_for_selector("h1:has-text('Không có trang này')")
        await visit.page.goto(f"{url}/target/nope?lang=en")
        await visit.page.wait_for_selector("h1:has-text('There is no such target')")
        assert await visit.page.evaluate("document.documentElement.lang") == "en"


async def test_everything_is_reached_by_keyboard_and_seen_when_reached(chromium):
    async with serving(create_app(LivingReading(), clock=now_ms)) as url, visiting(chromium, url) as visit:
        page = visit.page
        await page.wait_for_selector(".tile")
        reached = []
        for _ in range(12):
            await page.keyboard.press("Tab")
            reached.append(
                await page.evaluate("""() => {
                  const e = document.activeElement;
                  return [e.className, getComputedStyle(e).outlineStyle !== "none"];
                }""")
            )
        assert all(seen for _, seen in reached)
        names = " ".join(name for name, _ in reached)
        assert all(part in names for part in ("skip", "brand", "choice", "incident-name", "trouble"))


async def test_why_is_a_sentence_in_the_viewers_language_and_the_probes_line_is_marked_as_english(chromium):
    reading = LivingReading()
    message = "rtt_mean_s > 0.08 (rtt_mean_s = 0.114)"
    slow = sample.row("x", "Kênh chậm", state=State.DEGRADED, reason="condition", message=message)
    incident = dataclasses.replace(sample.incidents()[0], target="x", reason="condition", message=message, impact=())
    reading.shown = sample.overview([slow], incidents=(incident,))
    page = sample.target_page()
    check = page.checks[0]._replace(state=State.DOWN, reason="connect_timeout", message="no answer in time in connect")
    reading.pages["x"] = dataclasses.replace(page, row=slow, checks=(check,), incidents=(incident,))
    async with serving(create_app(reading, clock=now_ms)) as url, visiting(chromium, url, 1920, 1080) as visit:
        for place in (".incident", ".trouble"):
            shown = visit.page.locator(place)
            assert "Vi phạm điều kiện kiểm tra: độ trễ trung bình 114" in await shown.inner_text()
            assert await shown.locator(".message[lang=en]").inner_text() == message
        await visit.page.goto(f"{url}/target/x")
        await visit.page.wait_for_selector(".chart .main-svg")
        head = await visit.page.inner_text(".check-head")
        assert head.index("Quá thời gian chờ kết nối") < head.index("Xem tiếp: không ai trả lời")
        assert head.index("Xem tiếp: không ai trả lời") < head.index("no answer in time in connect")
        assert await visit.page.locator(".message:not([lang=en])").count() == 0
        row = await visit.page.locator("td:has(.message)").first.inner_text()
        assert row.startswith("Vi phạm điều kiện kiểm tra")
        await visit.page.goto(f"{url}/target/x?lang=en")
        await visit.page.wait_for_selector(".chart .main-svg")
        assert "Connecting takes too long" in await visit.page.inner_text(".check-head")


async def test_a_route_is_a_table_of_hops_in_which_a_change_is_seen(chromium):
    reading = LivingReading()
    page = sample.target_page()
    traced = page.checks[0]._replace(probe="path", name="path", path=sample.traced())
    reading.pages["lgsp-04"] = dataclasses.replace(page, checks=(traced,))
    async with (
        serving(create_app(reading, clock=now_ms)) as url,
        visiting(chromium, f"{url}/target/lgsp-04") as visit,
    ):
        await visit.page.wait_for_selector(".hops table")
        assert await visit.page.locator(".hops tbody tr").count() == 5
        changed = visit.page.locator(".hops tr.is-changed")
        assert await changed.count() == 1
        assert "10.9.1.7" in await changed.inner_text()
        assert "trước đó là 10.8.0.9" in await changed.inner_text()
        assert await english_on(visit.page) == []
        assert await fits_a_phone(visit.page)


async def test_the_bar_of_another_window_keeps_nothing_of_the_one_before(chromium):
    reading = LivingReading()
    page = sample.target_page()
    width = page.to_ms - page.from_ms
    # On a long window many short outages begin within the same hundredth of a percent.
    short = [page.from_ms + width // 2 + i for i in range(40)]
    cuts = [page.from_ms, *short, page.to_ms]
    states = [State.UP, *[State.DOWN, State.UP] * 20]
    crowded = tuple(Segment(a, b, state, "") for a, b, state in zip(cuts, cuts[1:], states, strict=False))
    reading.pages["lgsp-04"] = dataclasses.replace(page, timeline=crowded)
    async with (
        serving(create_app(reading, clock=now_ms)) as url,
        visiting(chromium, f"{url}/target/lgsp-04") as visit,
    ):
        await visit.page.wait_for_selector(".segment.is-down")
        thirds = [page.from_ms, page.from_ms + width // 3, page.from_ms + 2 * width // 3, page.to_ms]
        quiet = [Segment(a, b, state, "") for a, b, state in zip(thirds, thirds[1:], states[::2], strict=False)]
        reading.pages["lgsp-04"] = dataclasses.replace(page, timeline=tuple(quiet))
        await visit.page.click("button:has-text('6 giờ')")
        await visit.page.wait_for_selector(".segment[style*='left: 33']")
        assert await visit.page.locator(".segment").count() == 3


async def test_a_check_that_never_answered_has_a_chart_without_complaints(chromium):
    reading = LivingReading()
    page = sample.target_page()
    lost = tuple(
        point._replace(latency_s=None, low_s=None, high_s=None, loss_ratio=None, state=State.DOWN, phases={})
        for point in page.checks[1].points
    )
    reading.pages["lgsp-04"] = dataclasses.replace(page, checks=(page.checks[1]._replace(points=lost),))
    async with (
        serving(create_app(reading, clock=now_ms)) as url,
        visiting(chromium, f"{url}/target/lgsp-04") as visit,
    ):
        await visit.page.wait_for_selector(".chart text:has-text('Không có lần đo nào được trả lời')")
        await visit.page.wait_for_selector(".chart .legend text:has-text('Lần đo hỏng')")
        assert visit.complaints == []


async def test_every_time_on_a_page_has_its_zone_beside_the_clock(chromium):
    async with (
        serving(create_app(LivingReading(), clock=now_ms)) as url,
        visiting(chromium, f"{url}/target/lgsp-04") as visit,
    ):
        await visit.page.wait_for_selector(".clock .zone")
        assert await visit.page.inner_text(".clock .zone") == "UTC+7"
        assert await visit.page.get_attribute(".clock .zone", "title") == "Mọi thời điểm theo giờ Asia/Ho_Chi_Minh"
