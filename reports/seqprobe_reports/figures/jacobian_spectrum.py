"""How much a change grows or fades over distance, and in how many directions it survives."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from seqprobe_reports.figures.axes import (
    Dash,
    Panel,
    band,
    figure,
    line,
    on_log_axis,
    over_log_distance,
    thin,
)
from seqprobe_reports.figures.curves import Curve, by_model
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.subjects import Subject

CHECK = "jacobian-spectrum"
DASHED: Dash = (0, (6, 3))


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model: above the largest singular value, below the effective rank."""
    return figure(
        subjects,
        CHECK,
        Panel(by_model(subjects, CHECK, "largest"), _largest),
        Panel(by_model(subjects, CHECK, "rank"), _rank, height=2.8),
    )


def _largest(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("largest singular value")
    shown = on_log_axis(axes, curves, "largest", shown=1)
    band(axes, shown)
    line(axes, shown, "largest")
    lasting = [curve for curve in curves if curve.has("asymptotic")]
    thin(axes, lasting, "asymptotic", "Lyapunov, exp(λk)", DASHED)
    over_log_distance(axes)


def _rank(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("effective rank (directions)")
    line(axes, on_log_axis(axes, curves, "rank"), "rank")
    over_log_distance(axes)
