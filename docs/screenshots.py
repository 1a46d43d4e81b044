"""The pictures in the README, from the report that `make demo` writes.

.venv/bin/python docs/screenshots.py    # needs `make test`'s packages, and Chromium
"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from seqprobe.report import Comparison, load_reports

HERE = Path(__file__).parent
DEMO = HERE.parent / "demo" / "comparison.json"
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
SHOTS = {
    "first-light.png": {"viewport": {"width": 1200, "height": 1640}, "color_scheme": "light"},
    "first-dark.png": {"viewport": {"width": 1200, "height": 1640}, "color_scheme": "dark"},
    "first-phone.png": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "color_scheme": "light",
    },
}
COMPARED = {"viewport": {"width": 1200, "height": 1800}, "color_scheme": "light"}


def main() -> None:
    """The first screen of one model, light, dark and on a telephone; and of a comparison."""
    comparison = load_reports(DEMO)
    assert isinstance(comparison, Comparison)
    browser_path = next(path for path in map(shutil.which, BROWSERS) if path)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path)
        one = comparison.reports[0].save(Path(folder) / "one.html")
        for name, options in SHOTS.items():
            _shot(browser, one, name, options)
        _shot(browser, comparison.save(Path(folder) / "all.html"), "comparison.png", COMPARED)
        browser.close()


def _shot(browser: Browser, page: Path, name: str, options: dict) -> None:
    context = browser.new_context(offline=True, **options)
    shown = context.new_page()
    shown.goto(page.as_uri())
    shown.screenshot(path=HERE / name)
    context.close()
    print(HERE.name + "/" + name)


if __name__ == "__main__":
    main()
