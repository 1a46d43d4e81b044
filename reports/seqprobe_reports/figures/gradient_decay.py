"""Gradient norm over distance: a straight line is exponential decay."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from seqprobe_reports.figures.axes import band, figure, level, line, on_log_axis
from seqprobe_reports.figures.curves import Curve, by_site
from seqprobe_reports.subjects import Subject

HORIZON = 1e-3


def draw(subjects: Sequence[Subject]) -> str:
    """All sites of one model, or the output of several."""
    curves = by_site(subjects, "gradient-decay", "relative", key="output")
    return figure(subjects, "gradient-decay", curves, _paint)


def _paint(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("gradient, relative to distance 0")
    shown = on_log_axis(axes, curves, "relative")
    band(axes, shown)
    line(axes, shown, "relative")
    _fit(axes, shown)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=min(axes.get_ylim()[0], HORIZON / 3))
    level(axes, HORIZON, "horizon")


def _fit(axes: Axes, curves: Sequence[Curve]) -> None:
    for curve in (curve for curve in curves[:1] if len(curves) == 1 and curve.has("fit")):
        axes.plot(curve.table["distance"], curve.table["fit"], color="#767676", linewidth=1)
