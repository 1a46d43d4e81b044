"""The page in a real Chromium, as people open it: offline, dark, small, printed, by keyboard.

Without Chromium these tests are skipped, but not where CI is set: there it has to be installed.
"""

from __future__ import annotations

import io
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from pypdf import PdfReader

from seqprobe.report import Report

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
QUIET = (
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self'"
KINDS = ("single", "several", "attacked")

FEWER_ROWS = """document.querySelectorAll("table.data tbody").forEach(
    body => [...body.rows].slice(5).forEach(row => row.remove()))"""
"""Two hundred rows of one table are alike; axe takes its time for each."""

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("CI needs Chromium for these tests: apt-get install chromium")
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=found, args=list(QUIET))


@pytest.fixture
def opened(browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens one of the pages offline; everything it says and asks for is kept on it."""
    contexts = []

    def open_page(kind: str = "single", *, hash: str = "", **options: Any) -> Page:
        file = tmp_path / f"{kind}.html"
        file.write_text(request.getfixturevalue(kind), "utf-8")
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.said = []  # type: ignore[attr-defined]
        page.on("console", lambda message: page.said.append(message.text))  # type: ignore[attr-defined]
        page.on("pageerror", lambda error: page.said.append(str(error)))  # type: ignore[attr-defined]
        page.on("dialog", lambda dialog: page.said.append(dialog.message))  # type: ignore[attr-defined]
        page.on("request", lambda asked: page.said.append(asked.url))  # type: ignore[attr-defined]
        page.goto(f"{file.as_uri()}{hash}")
        return page

    yield open_page
    for context in contexts:
        context.close()


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than the window."""
    width: int = page.evaluate(
        "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
    )
    return width


@pytest.mark.parametrize("kind", KINDS)
def test_asks_for_one_file_and_says_nothing(opened: Open, kind: str) -> None:
    page = opened(kind)
    open_all(page)
    for button in page.locator(".tools button").all():
        button.click()
    assert page.said == [page.url]  # type: ignore[attr-defined]


def test_hostile_text_does_nothing(opened: Open, hostile: Report) -> None:
    page = opened("attacked")
    assert page.locator("script").count() == 2
    assert page.locator("img, iframe, object, embed, base, form").count() == 0
    assert "<script>alert(1)</script>" in page.locator("header").inner_text()
    assert "<script>alert(1)</script>" in page.title()
    assert page.said == [page.url]  # type: ignore[attr-defined]


def test_is_complete_without_javascript(opened: Open, report: Report) -> None:
    page = opened(java_script_enabled=False)
    words = page.locator("body").inner_text()
    for finding in report.findings:
        assert finding.statement in words
        assert finding.remedy in words
    for check in report.checks:
        assert check.headline in words
    assert page.locator("figure svg").first.is_visible()
    table = page.locator("details", has=page.locator("summary", has_text="Data: position ("))
    assert not table.locator("td").first.is_visible()
    table.locator("summary").click()
    assert table.locator("td").first.is_visible()


@pytest.mark.parametrize(
    ("kind", "scheme"), [("single", "light"), ("single", "dark"), ("several", "dark")]
)
def test_has_no_violation_of_accessibility(opened: Open, kind: str, scheme: str) -> None:
    page = opened(kind, color_scheme=scheme)
    open_all(page)
    page.evaluate(FEWER_ROWS)
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
    assert len(found["passes"]) > 20


@pytest.mark.parametrize("kind", KINDS)
def test_fits_a_telephone(opened: Open, kind: str) -> None:
    page = opened(kind, viewport={"width": 320, "height": 640})
    open_all(page)
    assert overflow(page) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_fits_when_letters_are_twice_as_large(opened: Open, kind: str) -> None:
    page = opened(kind, viewport={"width": 640, "height": 450}, device_scale_factor=2)
    open_all(page)
    assert overflow(page) == 0
    page.set_viewport_size({"width": 1280, "height": 900})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert overflow(page) == 0


REACHABLE = "a[href], button, summary, [tabindex='0']"
FOCUSED = f"""() => {{
  const all = [...document.querySelectorAll("{REACHABLE}")].filter(each => each.checkVisibility());
  const now = document.activeElement, look = getComputedStyle(now);
  return [all.indexOf(now), look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2];
}}"""


def test_is_read_by_keyboard_from_top_to_bottom(opened: Open) -> None:
    page = opened()
    total = page.evaluate(
        f"""[...document.querySelectorAll("{REACHABLE}")].filter(e => e.checkVisibility()).length"""
    )
    seen = []
    for _ in range(total):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
    assert total > 60
    assert seen == [[place, True] for place in range(total)]


def test_tables_are_opened_and_sorted_by_keyboard(opened: Open) -> None:
    page = opened()
    table = page.locator("details", has=page.locator("summary", has_text="attention-heads ("))
    table.locator("summary").focus()
    page.keyboard.press("Enter")
    assert table.get_attribute("open") is not None
    head = table.locator("th", has_text="induction")
    column = head.evaluate("head => head.cellIndex")
    shown = []
    for way in ("ascending", "descending"):
        head.locator("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == way
        cells = table.locator("tbody tr").all()
        shown.append([float(row.locator("td").nth(column).inner_text()) for row in cells])
    assert shown[0] == sorted(shown[0])
    assert shown[1] == shown[0][::-1]
    assert len({*shown[0]}) > 3


def test_every_check_can_be_linked_to(opened: Open, report: Report) -> None:
    for check in (report.checks[0], report.checks[7], report.checks[-1]):
        page = opened(hash=f"#{check.id}")
        top = page.evaluate(
            "id => document.getElementById(id).getBoundingClientRect().top", check.id
        )
        end = page.evaluate("innerHeight + scrollY >= document.documentElement.scrollHeight - 1")
        assert -1 <= top < 40 or end, check.id
        assert page.locator(f'a[href="#{check.id}"]').first.is_visible()


def test_print_holds_the_closed_tables(opened: Open, report: Report) -> None:
    page = opened(color_scheme="dark")
    printed = PdfReader(io.BytesIO(page.pdf(format="A4")))
    text = " ".join(part.extract_text() for part in printed.pages)
    words = "".join(unicodedata.normalize("NFKC", text).split())  # letters may be joined in print
    for table in report.tables:
        head = "".join(column.name + column.unit for column in table.columns[:3])
        assert head.replace(" ", "") in words, table.id
    assert report.findings[-1].falsified_by.replace(" ", "") in words
    assert "Openalldatatables" not in words


def test_strict_servers_leave_the_figures_as_they_are(browser: Browser, single: str) -> None:
    """Jenkins forbids inline styles and scripts."""
    page = browser.new_page(viewport={"width": 1000, "height": 2000})
    page.route(
        "http://jenkins.test/",
        lambda route: route.fulfill(
            body=single, headers={"Content-Security-Policy": JENKINS, "Content-Type": "text/html"}
        ),
    )
    page.goto("http://jenkins.test/")
    blue = page.locator("svg path").evaluate_all(
        "all => all.filter(each => getComputedStyle(each).stroke === 'rgb(0, 114, 178)').length"
    )
    assert blue > 20
    figure = Image.open(io.BytesIO(page.locator("figure svg").first.screenshot())).convert("L")
    dark = sum(figure.histogram()[:64]) / (figure.width * figure.height)
    assert 0.005 < dark < 0.1
    assert page.evaluate("getComputedStyle(document.body).margin") == "8px"  # it was forbidden
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_follow_the_colours_of_the_page(opened: Open, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    ink = page.evaluate("getComputedStyle(document.body).color")
    letters = page.locator("svg text").evaluate_all(
        "all => all.map(each => getComputedStyle(each).fill)"
    )
    assert ink == {"light": "rgb(27, 31, 36)", "dark": "rgb(228, 230, 233)"}[scheme]
    assert {*letters} == {ink}


def test_figures_survive_forced_colours(opened: Open) -> None:
    page = opened(forced_colors="active")
    ink = page.evaluate("getComputedStyle(document.body).color")
    letter = page.locator("svg text").first
    assert letter.evaluate("each => getComputedStyle(each).fill") == ink


def test_the_theme_can_be_switched(opened: Open) -> None:
    page = opened(color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(paper)
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(paper) == "rgb(255, 255, 255)" != before
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(paper) == before
