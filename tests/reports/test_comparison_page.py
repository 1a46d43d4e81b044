"""What the page of several models says first, and that it is enough to read it all again."""

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqprobe.contracts import Estimate
from seqprobe.diagnosis.comparison import over_steps, side_by_side
from seqprobe.records import Steps
from seqprobe.report import Comparison, Report, load_reports
from seqprobe_reports.page import render


class Words(HTMLParser):
    """The visible text of a piece of a page."""

    def __init__(self, piece: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(piece)

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def words(piece: str) -> str:
    return " ".join(" ".join(Words(piece).found).split())


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqprobe_reports.page.draw", lambda check, shown: "")
    nothing = SimpleNamespace(svg=lambda: "")
    monkeypatch.setattr("seqprobe_reports.page.reach_profile.draw", lambda shown: nothing)
    monkeypatch.setattr("seqprobe_reports.course.draw", lambda *given, **more: "")


@pytest.fixture
def both(report: Report, named: Callable[..., Report]) -> list[Report]:
    return [report, named("gru.pt", 9.0)]


def first_screen(page: str) -> str:
    return page.partition("<header>")[2].partition("</header>")[0]


def table(page: str, name: str) -> list[str]:
    region = page.partition(f'aria-label="{name}"')[2].partition("</table>")[0]
    return [words(row) for row in region.split("<tr>")[1:]]


def with_memory(report: Report, **metrics: float) -> Report:
    """With other exact numbers of its memory, and no limit of its window."""
    found = {name: Estimate(value, "bytes", exact=True) for name, value in metrics.items()}
    checks = {check.id: check for check in report.checks if check.id != "window"}
    memory = checks["memory"]
    checks["memory"] = replace(memory, metrics={**memory.metrics, **found})
    return replace(report, checks=tuple(checks.values()))


def test_clear_differences_and_advice_stand_on_the_first_screen(both: list[Report]) -> None:
    streams = [
        with_memory(each, state_bytes=2000.0, cache_bytes_per_token=per_token)
        for each, per_token in zip(both, (0.0, 10.0), strict=True)
    ]
    page = render(streams)
    assert "Ahead by what was measured: lstm.pt in " in words(first_screen(page))
    rows = table(page, "The most telling differences")
    assert rows[0] == "Number gru.pt"
    assert rows[1].startswith("Gradient decay horizon +36 steps [")
    assert any(row.endswith("cache_bytes_per_token +10 bytes") for row in rows)
    advice = table(page, "Which to use when")
    streams_row = next(row for row in advice if row.startswith("streams without end"))
    assert streams_row.endswith("cache_bytes_per_token lstm.pt 0 bytes 10 bytes")


def test_the_baseline_has_no_difference_of_its_own(both: list[Report]) -> None:
    page = render(side_by_side(both, "gru.pt"))
    assert "What differs from gru.pt" in words(first_screen(page))
    rows = table(page, "Metrics: Gradient decay")
    assert "less gru.pt −3.6 steps [−4.65, −2.55]" in rows


def test_what_changed_its_status_is_named(both: list[Report]) -> None:
    changed = [
        replace(c, status="problem" if c.id == "memory" else c.status) for c in both[1].checks
    ]
    screen = words(first_screen(render([both[0], replace(both[1], checks=tuple(changed))])))
    assert "What changed its status Memory : lstm.pt ● info , gru.pt ✕ problem" in screen
    same = words(first_screen(render([both[0], both[0]])))
    assert "every check has the same status" in same


def test_all_checks_of_all_models_stand_in_one_table(both: list[Report]) -> None:
    rows = table(render(both), "All checks")
    assert len(rows) == 1 + len(both[0].checks)
    assert rows[1] == "Gradient decay ● info ● info"


def test_unpaired_differences_are_said_to_be(both: list[Report]) -> None:
    assert "does not say what single sequences did" in words(first_screen(render(both)))


def test_the_page_is_enough_to_read_it_all_again(both: list[Report], tmp_path: Path) -> None:
    comparison = side_by_side(both, "gru.pt")
    page = tmp_path / "page.html"
    page.write_text(render(comparison))
    again = load_reports(page)
    assert again == load_reports(comparison.save(tmp_path / "numbers.json"))
    assert isinstance(again, Comparison)
    assert render(again) == page.read_text()


def test_so_is_that_of_one_model(report: Report, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(render([report]))
    again = load_reports(page)
    assert isinstance(again, Report)
    assert again.to_dict() == report.to_dict()


def test_hostile_names_stay_text_and_come_back(
    hostile: Report, report: Report, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text(render([hostile, report]))
    again = load_reports(page)
    assert isinstance(again, Comparison)
    assert again.reports[0].model.name == hostile.model.name
    assert "<script>alert" not in first_screen(page.read_text())


def test_a_training_shows_its_ends(both: list[Report]) -> None:
    course = over_steps([both[0], both[0], both[1]], Steps((1, 2, 3), "their names"))
    screen = words(first_screen(render(course)))
    assert "3 checkpoints of one training, lstm.pt to gru.pt" in screen
    assert "What differs from lstm.pt" in screen
    assert "Which to use when" not in screen
