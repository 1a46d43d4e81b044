"""Bits about a past symbol that can be read from the state, over distance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from seqprobe_reports.figures.axes import Panel, band, figure, level, line, over_log_distance
from seqprobe_reports.figures.curves import Curve, by_site
from seqprobe_reports.subjects import Subject


def draw(subjects: Sequence[Subject]) -> str:
    """All sites of one model, or the key site of several."""
    value = "lower_bound"
    curves = by_site(subjects, "bottleneck", value)
    if not curves:
        value = "estimate"
        curves = by_site(subjects, "bottleneck", value)
    return figure(subjects, "bottleneck", Panel(curves, partial(_paint, value=value)))


def _paint(axes: Axes, curves: Sequence[Curve], value: str) -> None:
    axes.set_ylabel("readable from the state (bits)")
    _null(axes, curves)
    band(axes, curves)
    line(axes, curves, value)
    over_log_distance(axes)
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    for ceiling in {curve.table["ceiling"].max() for curve in curves if curve.has("ceiling")}:
        level(axes, ceiling, "ceiling")


def _null(axes: Axes, curves: Sequence[Curve]) -> None:
    """What the same method reads from states that hold nothing."""
    for curve in curves:
        upper = next((name for name in ("null_high", "null") if curve.has(name)), None)
        if upper:
            axes.fill_between(
                curve.table["distance"], 0, curve.table[upper],
                color="#767676", alpha=0.25, linewidth=0,
            )  # fmt: skip
