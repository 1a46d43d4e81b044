"""Hops and operators from input to output: slope 1 is recurrence, slope 0 is attention."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from seqprobe_reports import numbers
from seqprobe_reports.figures.axes import Panel, figure, line, on_log_axis, over_log_distance
from seqprobe_reports.figures.curves import Curve, by_model, sparse
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.subjects import Subject


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model: above hops, below operators."""
    return figure(
        subjects,
        "path-length",
        Panel(by_model(subjects, "path-length", "hops"), _paint),
        Panel(by_model(subjects, "path-length", "operators"), _operators, height=2.8),
    )


def _operators(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("shortest path (operators)")
    line(axes, on_log_axis(axes, curves, "operators"), "operators")
    over_log_distance(axes)
    axes.yaxis.set_major_formatter(lambda value, _: numbers.number(value))


def _paint(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("shortest path (hops)")
    shown = on_log_axis(axes, curves, "hops")
    line(axes, shown, "hops")
    over_log_distance(axes)
    axes.yaxis.set_major_formatter(lambda value, _: numbers.number(value))
    unreached = [_mark_unreached(axes, curve) for curve in curves]
    if any(unreached):
        axes.annotate("× the output did not change", (0.01, 0.93), xycoords="axes fraction")


def _mark_unreached(axes: Axes, curve: Curve) -> bool:
    if not curve.has("reached"):
        return False
    missed = sparse(curve.table[~curve.table["reached"].fillna(True).astype(bool)])
    if missed.empty:
        return False
    height = 0.02 + 0.035 * curve.style
    axes.plot(
        missed["distance"], [height] * len(missed),
        transform=axes.get_xaxis_transform(), linestyle="", marker="x", markersize=4,
        color=curve.color, label="_unreached",
    )  # fmt: skip
    return True
