"""How much the output changes when an input at some distance is exchanged."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from seqprobe_reports.figures.axes import Panel, band, figure, line, on_log_axis, over_log_distance
from seqprobe_reports.figures.curves import Curve, by_model
from seqprobe_reports.subjects import Subject


def draw(subjects: Sequence[Subject]) -> str:
    """One curve per model."""
    return figure(subjects, "position", Panel(by_model(subjects, "position", "kl_bits"), _paint))


def _paint(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("change of the output (bits)")
    shown = on_log_axis(axes, curves, "kl_bits")
    band(axes, shown)
    line(axes, shown, "kl_bits")
    over_log_distance(axes)
