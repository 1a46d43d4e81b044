"""Reports are read from pages as data; a page that is damaged or hostile is refused in a line."""

from pathlib import Path

import pytest

from seqprobe.embedded import embedded_json
from seqprobe.errors import FileError
from seqprobe.report import load_reports

OPEN, CLOSE = '<script type="application/json" id="seqprobe-report">', "</script>"


def test_the_text_of_the_element_is_taken_as_it_is():
    page = f'<!doctype html><p id="seqprobe-report">no</p>{OPEN}{{"a": "&amp; \\u003c"}}{CLOSE}<p>'
    assert embedded_json(page) == '{"a": "&amp; \\u003c"}'


@pytest.mark.parametrize(
    ("page", "got"),
    [
        ("<!doctype html><p>nothing here", "0 embedded reports"),
        ("<!doctype html><script id='seqprobe-report'>{}</script>", "0 embedded reports"),
        (f"<p>{OPEN}{{}}{CLOSE}{OPEN}{{}}{CLOSE}", "2 embedded reports"),
        (f"<!-- {OPEN}{{}}{CLOSE} -->", "0 embedded reports"),
        (f"<p>{OPEN}{{", "Expecting"),
        (f"<p>{OPEN}[]{CLOSE}", "got list"),
        (f'<p>{OPEN}{{"x": NaN}}{CLOSE}', "nan is not a number|NaN is not a number"),
        (f'<p>{OPEN}{{"x": 1e999}}{CLOSE}', "1e999 is not a number that a report may hold"),
        (f"<p>{OPEN}{'[' * 100_000}{CLOSE}", "recursion"),
        (f"<p>{OPEN}{{}}{CLOSE}", "Field required"),
        ("<" * 5000, "0 embedded reports"),
    ],
)
def test_other_pages_are_refused_in_one_line(tmp_path: Path, page: str, got: str) -> None:
    path = tmp_path / "page.html"
    path.write_text(page)
    with pytest.raises(FileError, match=rf"page.html: not a .*report.*({got})") as error:
        load_reports(path)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 4


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"<p>\xff\xfe")
    with pytest.raises(FileError, match="not a report; got 'utf-8' codec can't decode"):
        load_reports(path)
