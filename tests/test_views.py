"""Reports where they are looked at: tables in pandas, notebooks, browsers."""

import logging
import sys
import webbrowser
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import pandas
import pytest

from seqprobe.contracts import Series
from seqprobe.errors import UsageError
from seqprobe.records import DataRecord, Environment, ModelRecord, Verdict
from seqprobe.report import Comparison, Report

CURVE = Series.of(
    "curve",
    {"distance": [0, 1], "bits": [1.5, float("nan")], "site": ["a", "b"], "seen": [True, False]},
    {"distance": "steps", "bits": "bits"},
)


def a_report(name: str = "<b>.pt") -> Report:
    return Report(
        created="2025-06-01T12:00:00+00:00",
        command=(),
        distance=8,
        environment=Environment(*[""] * 10, 1, 0, True),
        model=ModelRecord(name, "LSTM", 1, (), {}),
        data=DataRecord("text", "", "", 1, 8),
        verdict=Verdict("info", "It sees <i>far</i>.", {}),
        findings=(),
        checks=(),
        figures=(),
        tables=(CURVE,),
    )


@pytest.fixture
def report() -> Report:
    return a_report()


class TestTables:
    def test_gaps_stay_gaps_and_units_are_kept(self, report: Report) -> None:
        frame = report.table("curve").to_pandas()
        assert list(frame) == ["distance", "bits", "site", "seen"]
        assert frame["bits"].isna().tolist() == [False, True]
        assert frame["bits"].sum() == 1.5
        assert frame[frame["seen"]]["site"].tolist() == ["a"]
        assert frame.attrs["units"] == {"distance": "steps", "bits": "bits"}

    def test_a_column_without_any_number_is_numeric(self) -> None:
        frame = Series.of("s", {"distance": [0], "bits": [float("nan")]}).to_pandas()
        assert pandas.api.types.is_float_dtype(frame["bits"])

    def test_an_unknown_table_names_those_there_are(self, report: Report) -> None:
        with pytest.raises(UsageError, match="no table 'x' in this report; expected one of curve"):
            report.table("x")


def test_a_name_in_one_line_is_all_that_is_printed(report: Report) -> None:
    assert repr(report) == "<Report of '<b>.pt': 0 checks, 0 findings>"
    assert repr(Comparison((report, report))) == "<Comparison of '<b>.pt', '<b>.pt'>"


class TestWithoutRenderers:
    @pytest.fixture(autouse=True)
    def _nothing_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.metadata.entry_points", lambda **_asked: ())

    @pytest.mark.parametrize("models", [1, 2])
    def test_notebooks_show_the_verdict(self, models: int, report: Report) -> None:
        shown = report if models == 1 else Comparison((report, report))
        html = shown._repr_html_()
        assert html.count("&lt;b&gt;.pt</b>: It sees &lt;i&gt;far&lt;/i&gt;.") == models
        assert shown._repr_markdown_() is None

    def test_what_is_missing_is_said(self, report: Report) -> None:
        with pytest.raises(UsageError, match="nothing installed makes the figure of a report"):
            report.figure("gradient-decay")
        with pytest.raises(UsageError, match=r"no renderer for \.md; expected \.json"):
            report.render(".md")


def test_a_summary_that_fails_is_replaced_and_logged(
    report: Report, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_given: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("seqprobe.views.installed", lambda *_names: broken)
    with caplog.at_level(logging.WARNING):
        assert "It sees" in report._repr_html_()
    assert "no summary could be drawn" in caplog.text


PAGE = """<!doctype html><a class="x" href="#end">"&amp;'</a><use href="#mark"/>"""


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("views", "saving"):
        monkeypatch.setattr(f"seqprobe.{module}.rendered", lambda *_given: PAGE)


@pytest.mark.usefixtures("page")
class TestShow:
    def shell(self, monkeypatch: pytest.MonkeyPatch, kernel: object) -> list[dict[str, str]]:
        """An IPython that keeps what it is given to display."""
        published: list[dict[str, str]] = []
        shell = SimpleNamespace(
            kernel=kernel, display_pub=SimpleNamespace(publish=published.append)
        )
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
        return published

    def test_a_notebook_has_the_page_in_a_frame(
        self, report: Report, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = self.shell(monkeypatch, kernel=object())
        report.show()
        (shown,) = published
        before, _, rest = shown["text/html"].partition(" srcdoc='")
        assert before.startswith("<iframe ")
        assert " sandbox " in before
        assert rest.endswith("'></iframe>")
        framed = rest.removesuffix("'></iframe>")
        assert unescape(framed) == PAGE.replace('"#end"', '"about:srcdoc#end"')
        assert "'" not in framed
        assert shown["text/plain"] == repr(report)

    @pytest.mark.parametrize("ipython", [True, False])
    def test_elsewhere_a_browser_has_it(
        self, ipython: bool, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if ipython:
            published = self.shell(monkeypatch, kernel=None)
        opened: list[str] = []
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
        report.show()
        (written,) = tmp_path.rglob("*.html")
        assert opened == [written.as_uri()]
        assert written.read_text() == PAGE
        assert not ipython or not published

    def test_without_a_browser_nothing_is_left(
        self, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        monkeypatch.setattr(webbrowser, "open", lambda _url: False)
        with pytest.raises(UsageError, match=r"no browser.*`report\.save\(\"report\.html\"\)`"):
            report.show()
        assert not list(tmp_path.iterdir())
