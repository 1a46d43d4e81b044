"""Reach, sensitivity, use, storage and window of every model on one axis of distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from seqprobe.contracts import Estimate
from seqprobe.names import distinct
from seqprobe_reports import numbers
from seqprobe_reports.figures.axes import asked, legend_columns, over_log_distance
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.figures.svg import INK, MARKERS, PALETTE, label
from seqprobe_reports.quantities import QUANTITIES, profile
from seqprobe_reports.subjects import Subject

TITLE = "Reach profile: how far back each model sees"


@dataclass(frozen=True)
class _Lane:
    """The height at which one model's quantity is drawn, and in which colours."""

    height: float
    style: int

    @property
    def color(self) -> str:
        return PALETTE[self.style % len(PALETTE)]

    @property
    def marker(self) -> str:
        return MARKERS[self.style % len(MARKERS)]


def draw(subjects: Sequence[Subject]) -> Drawing:
    """Horizontal ranges: the quantities, and the models within each."""
    height = 1.2 + len(QUANTITIES) * (0.3 + 0.22 * len(subjects))
    return Drawing(
        "reach-profile", TITLE, profile(subjects),
        [(min(height, 12), lambda axes: _paint(axes, subjects))],
    )  # fmt: skip


def _paint(axes: Axes, subjects: Sequence[Subject]) -> None:
    for row, quantity in enumerate(QUANTITIES):
        for number, subject in enumerate(subjects):
            offset = (number - (len(subjects) - 1) / 2) * 0.75 / len(subjects)
            _range(axes, _Lane(row + offset, number), quantity.of(subject))
    axes.set_yticks(range(len(QUANTITIES)), [quantity.name for quantity in QUANTITIES])
    axes.set_ylim(len(QUANTITIES) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    _distances(axes, subjects)
    if len(subjects) > 1:
        _legend(axes, subjects)


def _distances(axes: Axes, subjects: Sequence[Subject]) -> None:
    over_log_distance(axes)
    axes.set_xlim(0, _furthest(subjects) * 2)
    axes.set_xlabel("distance (steps)")
    axes.grid(True, axis="x", color=INK, alpha=0.12, linewidth=0.6)
    for distance in sorted({subject.report.distance for subject in subjects}):
        asked(axes, distance)


def _furthest(subjects: Sequence[Subject]) -> float:
    found = [estimate for s in subjects for q in QUANTITIES if (estimate := q.of(s))]
    ends = [end for e in found for end in (e.value, e.low, e.high) if end is not None]
    return max([10, *ends, *(subject.report.distance for subject in subjects)])


def _range(axes: Axes, lane: _Lane, found: Estimate | None) -> None:
    axes.annotate(
        _brief(found), (1.01, lane.height), xycoords=("axes fraction", "data"),
        va="center", fontsize=9,
    )  # fmt: skip
    if found is None:
        return
    if found.value is None:
        _open(axes, lane, found)
    else:
        _closed(axes, lane, found, found.value)


def _brief(found: Estimate | None) -> str:
    if found is None:
        return "not measured"
    if found.value is not None:
        return numbers.number(found.value)
    if found.low is not None:
        return f"≥ {numbers.number(found.low)}"
    return f"≤ {numbers.number(found.high)}" if found.high is not None else "not estimable"


def _closed(axes: Axes, lane: _Lane, found: Estimate, value: float) -> None:
    low, high = (value if end is None else end for end in (found.low, found.high))
    _bar(axes, lane, value)
    ends = [max(low, 0), max(high, 0)]
    axes.plot(ends, [lane.height] * 2, color=lane.color, linewidth=1.4, marker="|", markersize=9)
    axes.plot(max(value, 0), lane.height, lane.marker, color=lane.color, markersize=4.5)


def _open(axes: Axes, lane: _Lane, found: Estimate) -> None:
    """A bound instead of a value: an arrow that points to where the value must lie."""
    if found.low is not None:
        _bar(axes, lane, found.low)
        _arrow(axes, lane, found.low, points=28)
    elif found.high is not None:
        _arrow(axes, lane, found.high, points=-28)


def _bar(axes: Axes, lane: _Lane, end: float) -> None:
    axes.hlines(lane.height, 0, max(end, 0), color=lane.color, linewidth=6, alpha=0.35)


def _arrow(axes: Axes, lane: _Lane, start: float, points: float) -> None:
    axes.annotate(
        "", (start, lane.height), xytext=(points, 0), textcoords="offset points",
        arrowprops={"arrowstyle": "<|-", "color": lane.color, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip


def _legend(axes: Axes, subjects: Sequence[Subject]) -> None:
    lanes = [_Lane(0, number) for number in range(len(subjects))]
    names = distinct(label(subject.name) for subject in subjects)
    axes.legend(
        [Line2D([], [], color=lane.color, marker=lane.marker, linewidth=4) for lane in lanes],
        names, loc="lower left", bbox_to_anchor=(0, 1.06), borderaxespad=0.2,
        ncols=legend_columns(names),
    )  # fmt: skip
