"""What carrying saves after a boundary, and how fast the past before it stops to matter."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from seqprobe_reports.figures.axes import Panel, band, figure, line, on_log_axis, over_log_distance
from seqprobe_reports.figures.curves import Curve, by_model
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.figures.svg import INK
from seqprobe_reports.subjects import Subject

CHECK, SINCE = "carry-over", "steps read since the boundary"


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model: above the gain, below what is left of two pasts' distance."""
    return figure(
        subjects,
        CHECK,
        Panel(by_model(subjects, CHECK, "mean"), _gain, along=SINCE),
        Panel(by_model(subjects, CHECK, "left", "washout"), _washout, height=2.8, along=SINCE),
    )


def _gain(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("saved by carrying (bits)")
    axes.axhline(0, color=INK, linewidth=0.8)
    band(axes, curves)
    line(axes, curves, "mean")
    over_log_distance(axes)
    axes.set_xlim(left=1)


def _washout(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("left of the distance\nbetween two pasts")
    shown = on_log_axis(axes, curves, "left")
    band(axes, shown)
    line(axes, shown, "left")
    over_log_distance(axes)
