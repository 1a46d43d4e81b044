"""Bits that are recalled from the state about each symbol, and about all of them together."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from seqprobe_reports.figures.axes import (
    Panel,
    band,
    bits_over_distance,
    figure,
    line,
    nothing,
    over_log_distance,
)
from seqprobe_reports.figures.curves import Curve, by_model
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.subjects import Subject

CHECK = "capacity"


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model: above bits about one symbol, below the sum of those up to there."""
    return figure(
        subjects,
        CHECK,
        Panel(by_model(subjects, CHECK, "lower_bound"), _each),
        Panel(by_model(subjects, CHECK, "total"), _total, height=2.8),
    )


def _each(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("recalled, given nearer ones (bits)")
    nothing(axes, curves, "null_high", "null")
    band(axes, curves)
    line(axes, curves, "lower_bound")
    bits_over_distance(axes, curves)


def _total(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("recalled in all (bits)")
    line(axes, curves, "total")
    over_log_distance(axes)
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
