"""The loss by position, within the trained length and beyond; how far the oldest input reaches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from seqprobe_reports import numbers
from seqprobe_reports.figures.axes import (
    Panel,
    band,
    figure,
    line,
    marked,
    on_log_axis,
    over_log_distance,
)
from seqprobe_reports.figures.curves import Curve, by_model
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.figures.svg import INK
from seqprobe_reports.subjects import Subject

CHECK = "window"


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model; above the loss, below what replacing the oldest input changes."""
    loss = partial(_loss, subjects)
    return figure(
        subjects,
        CHECK,
        Panel(by_model(subjects, CHECK, "mean"), loss, along="steps read"),
        Panel(by_model(subjects, CHECK, "change", "reach"), _reach, height=2.8),
    )


def _loss(subjects: Sequence[Subject], axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("loss (bits)")
    band(axes, curves)
    line(axes, curves, "mean")
    over_log_distance(axes)
    axes.set_xlim(left=1)
    for length in _lengths(subjects, "trained_length"):
        marked(axes, length, f"trained: {numbers.number(length)}")
    for length in _lengths(subjects, "refused_length"):
        _refused(axes, length)


def _refused(axes: Axes, length: float) -> None:
    """A line with its name beside it: a trained length may stand next to it."""
    if length > axes.get_xlim()[1]:
        return
    axes.axvline(length, color=INK, linewidth=1)
    axes.annotate(
        f"refused: {numbers.number(length)}", (length, 0.97), xytext=(-3, 0),
        xycoords=("data", "axes fraction"), textcoords="offset points",
        ha="right", va="top", fontsize=8,
    )  # fmt: skip


def _lengths(subjects: Sequence[Subject], name: str) -> list[float]:
    """The different ones that are known, in order."""
    found = [subject.metric(CHECK, name) for subject in subjects]
    return sorted({each.value for each in found if each and each.value is not None})


def _reach(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("change by the oldest input\n(share of the largest output)")
    line(axes, on_log_axis(axes, curves, "change"), "change")
    over_log_distance(axes)
