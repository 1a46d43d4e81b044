"""The page of a training shows what was measured when, and nothing that a story says can act."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from seqprobe.contracts import Estimate, Finding, Null, Series
from seqprobe.records import Steps
from seqprobe.report import Comparison, Report, load_reports
from seqprobe.training.entry import Training
from seqprobe.training.lines import Line
from seqprobe.training.story import Story
from seqprobe_reports.figures.over_steps import OverSteps, draw, paint, spread
from seqprobe_reports.page import BUDGET
from seqprobe_reports.page import render as render_reports
from seqprobe_reports.story import render

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&$\\frac{$"
NULL = Null("shuffled", 0.0, -0.1, 0.1)
TRAINING = Training(
    "Net", "recurrent", 12345, 20, 0, "first batch", {"position": 10}, 0, "0.1.0", "2026-01-01"
)


def steps(value: float | None, low: float, high: float | None = None) -> Estimate:
    reason = "" if value is not None else "no end in sight"
    return Estimate(value, "steps", low, high, n=8, null=NULL, reason=reason)


def curve(id: str, column: str, step: int) -> Series:
    distance = np.arange(25)
    values = np.exp(-distance / (3 + step / 10))
    columns = {column: values, "low": values * 0.8, "high": values * 1.2}
    return Series.of(id, {"distance": distance} | columns, {"distance": "steps"})


def rang(statement: str = "The gradient is gone.") -> Finding:
    return Finding(
        "vanished", "gradient-decay", "attention", statement, "horizon", steps(3.0, 2.0, 4.0),
        "below 20 steps", "theory", "A paper", "Raise the bias.", "A longer one.",
    )  # fmt: skip


def at(step: int) -> list[Line]:
    reach: Mapping[str, Estimate] = {
        "horizon": steps(3.0 + step / 10, 2.0, 9.0) if step < 80 else steps(None, 24.0),
        "at_distance": Estimate(10.0 ** (min(step, 100) / 20 - 6), "", n=8, null=NULL),
    }
    return [
        Line(step, "gradient-decay", 0.1, headline=f"Gradient at {step}.", metrics=reach,
             findings=(rang(),) if step in (20, 60) else (), warnings=("Take care.",),
             table=curve("gradient-decay", "relative", step)),
        Line(step, "bottleneck", 0.5, headline=f"Kept at {step}.",
             metrics={"horizon": steps(5.0, 4.0, 6.0)},
             table=curve("bottleneck", "lower_bound", step)),
        Line(step, "mine", 0.2, headline="My own.", metrics={"a_number": steps(1.0, 0.5, 2.0)}),
        Line(step, "heads", why_not="no attention was found"),
    ]  # fmt: skip


def told(*lines: Line, name: str = "run.jsonl", training: Training = TRAINING) -> Story:
    return Story(name, (training,), lines)


@pytest.fixture(scope="module")
def story() -> Story:
    return told(*(line for step in range(0, 101, 20) for line in at(step)))


@pytest.fixture(scope="module")
def page(story: Story) -> str:
    return render(story)


@pytest.fixture(scope="module")
def attacked() -> str:
    lines = [
        replace(
            line,
            check=HOSTILE if line.check == "mine" else line.check,
            headline=HOSTILE,
            why_not=line.why_not and HOSTILE,
            warnings=(HOSTILE,),
            findings=tuple(replace(rang(HOSTILE), remedy=HOSTILE) for _ in line.findings),
            metrics={**line.metrics, HOSTILE: Estimate.missing(HOSTILE, HOSTILE)},
        )
        for step in (0, 20)
        for line in at(step)
    ]
    training = replace(TRAINING, name=HOSTILE + "\x00\ud800", family=HOSTILE, held_out=HOSTILE)
    return render(told(*lines, name=HOSTILE, training=training))


class Seen(HTMLParser):
    """The tags and the names of attributes, as a browser finds them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def section(page: str, id: str) -> str:
    return page.partition(f'<section id="{id}">')[2].partition("</section>")[0]


def test_the_first_screen_says_what_came_of_it(page: str) -> None:
    first = words(page.partition("</header>")[0])
    assert (
        "After 100 updates the model has a gradient over at least 24 steps and keeps something in "
        "its state over 5 steps [4, 6]."
    ) in first
    assert "▲ attention step 20, 60: The gradient is gone. Do this: Raise the bias." in first
    row = words(page.partition("sensitivity</a>")[2].partition("</tr>")[0])
    assert row == (
        "the model has a gradient over 3 steps [2, 9] step 0 "
        "at least 24 steps no end in sight step 100"
    )
    assert "asked about 20 steps" in first


def test_sections_are_those_that_were_measured(page: str) -> None:
    sections = re.findall(r'<section id="([^"]+)"', page)
    assert sections == ["gradient-decay", "bottleneck", "mine", "warnings", "missing", "provenance"]
    assert page.count("<svg") == 2 + 2 + 1
    assert "heads no attention was found 6 times, first at step 0" in words(page)
    assert "Rang at step 20, 60" in words(section(page, "warnings"))


def test_figures_over_distance_go_from_early_to_late(page: str) -> None:
    names = re.findall(r">(step \d+)</text>", section(page, "gradient-decay"))
    assert names == ["step 0", "step 20", "step 40", "step 80", "step 100"]


def test_numbers_stand_in_a_table(page: str) -> None:
    table = section(page, "gradient-decay").partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [words(row) for row in table.split("<tr>")[1:]]
    assert rows[1] == "20 5 steps [2, 9] 1 × 10⁻⁵"
    assert rows[-1].startswith("100 at least 24 steps")


def test_nothing_rang(story: Story) -> None:
    quiet = told(*(replace(line, findings=()) for line in story.lines[:4]))
    shown = render(quiet)
    assert "No early warning rang." in shown
    assert 'id="warnings"' not in shown
    assert "#warnings" not in shown


def test_a_resumed_training_says_so(story: Story) -> None:
    later = replace(TRAINING, start=1000, distance=30)
    shown = render(replace(story, trainings=(TRAINING, later), lines=story.lines[:4]))
    assert "The training was resumed at step 1,000." in shown
    assert "Sessions asked about different distances" in shown


def test_a_story_that_has_just_begun() -> None:
    assert "After 0 updates: nothing was measured." in words(render(told()))
    nothing = Line(0, "heads", why_not="no attention was found")
    assert "no attention was found" in render(told(nothing))
    blank = Line(5, "mine", metrics={"a": Estimate.missing("", "too few")}, headline="Nothing.")
    assert "After 5 updates: Nothing." in words(render(told(blank)))
    assert "<svg" not in render(told(blank))


def test_is_the_same_twice_and_has_no_double_ids(story: Story, page: str) -> None:
    assert render(story) == page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert {id for id, count in Counter(ids).items() if count > 1} == set()
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_loads_nothing_and_nothing_acts(attacked: str, page: str) -> None:
    for shown in (attacked, page):
        seen = Seen(shown)
        assert not seen.tags & {"link", "img", "iframe", "object", "embed", "base"}
        assert shown.count("<script") == 1  # the page's own
        assert not {
            name for name in seen.attributes if name in ("src", "style") or name[:2] == "on"
        }
        assert "default-src 'none'" in shown
    assert attacked.count("&lt;script&gt;alert(1)") > 15
    assert "\x00" not in attacked


def test_stays_small_however_long_the_training() -> None:
    lines = [line for step in range(0, 12_000, 20) for line in at(step)]
    shown = render(told(*lines))
    assert len(shown.encode()) < BUDGET
    assert "measurements, evenly chosen; the file holds them all" in shown


class TestOverSteps:
    def drawn(self, *estimates: Estimate, **more: object) -> str:
        number = OverSteps("horizon", list(enumerate(estimates)))
        return draw("x", "X", "", [number], **more)  # type: ignore[arg-type]

    def test_bounds_are_triangles_and_not_values(self) -> None:
        axes = Figure().subplots()
        number = [(0, steps(3.0, 2.0, 4.0)), (10, steps(None, 6.0)), (20, steps(4.0, 3.0))]
        paint(axes, OverSteps("horizon", number), "step", None, {})
        points = {str(each.get_marker()): each.get_xydata() for each in axes.lines}
        assert points["^"].tolist() == [[10, 6]]
        values = points["o"]
        assert np.isnan(values[1, 1])
        assert values[[0, 2]].tolist() == [[0, 3], [20, 4]]

    def test_an_interval_that_is_open_goes_to_the_end_of_the_axis(self) -> None:
        axes = Figure().subplots()
        number = [(0, steps(3.0, 2.0, 4.0)), (10, steps(4.0, 3.0)), (20, steps(4.0, 3.0))]
        paint(axes, OverSteps("horizon", number), "step", None, {})
        band = axes.collections[-1].get_paths()[0].vertices
        assert band[:, 1].max() == pytest.approx(axes.get_ylim()[1])
        assert band[:, 1].min() == 2.0

    def test_nothing_to_draw(self) -> None:
        assert self.drawn(Estimate.missing("", "too few")) == ""
        fixed = Estimate(3.0, "bytes", exact=True)
        assert self.drawn(fixed, fixed) == ""
        assert self.drawn(fixed, Estimate(4.0, "bytes", exact=True)) != ""

    def test_far_apart_values_are_on_a_logarithmic_axis(self) -> None:
        small, large = Estimate(1e-6, ""), Estimate(1.0, "")
        assert "10⁻⁶" in self.drawn(small, large)
        assert "10⁻⁶" not in self.drawn(Estimate(0.5, ""), large)

    def test_the_distance_asked_about_is_marked_however_far(self) -> None:
        shown = self.drawn(steps(1.0, 0.5, 2.0), steps(1.0, 0.5, 2.0), distance=500.0)
        assert ">asked<" in shown
        assert ">400<" in shown

    def test_a_single_step(self) -> None:
        assert self.drawn(steps(1.0, 0.5, 2.0)) != ""

    def test_many_steps_end_with_the_last(self) -> None:
        table = OverSteps("x", [(step, steps(1.0, 0.5)) for step in range(1000)]).table
        assert len(table) <= 301
        assert table["step"].iloc[-1] == 999

    def test_spread(self) -> None:
        assert spread([5, 1, 1, 3], 5) == [1, 3, 5]
        assert spread(range(11), 3) == [0, 5, 10]


class TestCheckpointsOfOneTraining:
    @pytest.fixture
    def compared(self, report: Report, named: Callable[..., Report]) -> Comparison:
        some = [named("a.pt", 3.0), named("b.pt", 5.0), named("c.pt", 9.0)]
        few = ("gradient-decay", "weights")
        only = [
            replace(
                each,
                checks=tuple(check for check in each.checks if check.id in few),
                tables=tuple(t for t in each.tables if t.id.startswith(few)),
            )
            for each in some
        ]
        return Comparison(tuple(only), steps=Steps((10, 20, 40), "'step' in their names"))

    def test_curves_over_steps_then_first_and_last(self, compared: Comparison) -> None:
        shown = render_reports(compared)
        over = section(shown, "over-steps")
        assert "3 checkpoints, by 'step' in their names: training step 10, 20, 40." in words(over)
        assert re.findall("<h3>([^<]*)", over) == ["Gradient decay"], "what is fixed is not drawn"
        assert "3 checkpoints of one training, a.pt to c.pt" in words(shown)
        head = section(shown, "gradient-decay").partition("</thead>")[0]
        assert [name in head for name in ("a.pt", "b.pt", "c.pt")] == [True, False, True]
        assert 'id="crossovers"' not in shown

    def test_survives_the_way_through_json(
        self, compared: Comparison, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.mktemp("steps") / "comparison.json"
        assert load_reports(compared.save(path)) == compared

    def test_the_same_without_steps_has_no_such_section(self, compared: Comparison) -> None:
        assert 'id="over-steps"' not in render_reports(compared.reports)
