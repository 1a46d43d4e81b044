"""Costs over length: measured where it was measured, dashed where a law goes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from seqprobe.estimators.growth import extrapolated
from seqprobe_reports import numbers
from seqprobe_reports.figures.axes import Panel, band, label_powers, line
from seqprobe_reports.figures.curves import Curve, by_model
from seqprobe_reports.figures.svg import INK
from seqprobe_reports.subjects import Subject

FURTHER = 16
DASHED = (0, (2, 2))


def panel(subjects: Sequence[Subject], check: str, column: str, name: str) -> Panel:
    """One column of a check's table, one curve per model, with its interval if it has one."""
    curves = by_model(subjects, check, column)
    bounds = _bounds(column)

    def paint(axes: Axes, shown: Sequence[Curve]) -> None:
        axes.set_ylabel(name)
        axes.set_xscale("log", base=2)
        band(axes, shown, *bounds)
        line(axes, shown, column)
        _extrapolated(axes, shown, column)
        if any((curve.table[column] > 0).any() for curve in shown):
            axes.set_yscale("log")
            label_powers(axes)
        axes.xaxis.set_major_formatter(lambda value, _: numbers.number(value))

    return Panel(curves, paint, height=2.9, along="length (steps)")


def _bounds(column: str) -> tuple[str, str]:
    stem = column.removesuffix("_seconds")
    return f"{stem}_low", f"{stem}_high"


def _extrapolated(axes: Axes, curves: Sequence[Curve], column: str) -> None:
    """The law a + b n + c n^2 beyond the longest length, and those of the interval's ends."""
    for curve in curves:
        longest = float(curve.table["distance"].max())
        further = np.geomspace(longest, longest * FURTHER, 25)
        middle, low, high = (_law(curve, name, further) for name in (column, *_bounds(column)))
        if middle is not None:
            axes.plot(
                further, middle,
                color=curve.color, linewidth=1, linestyle=DASHED, label="_law",
            )  # fmt: skip
        if low is not None and high is not None:
            axes.fill_between(further, low, high, color=curve.color, alpha=0.1, linewidth=0)
    axes.plot([], [], color=INK, linewidth=1, linestyle=DASHED, label="extrapolated")


def _law(curve: Curve, column: str, lengths: np.ndarray) -> np.ndarray | None:
    """None where too few costs are known."""
    if not curve.has(column):
        return None
    known = curve.table[curve.table[column] > 0]
    measured_at, costs = (known[name].to_numpy(float) for name in ("distance", column))
    return extrapolated(measured_at, costs, lengths)
