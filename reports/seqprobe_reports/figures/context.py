"""What is lost when only the last inputs are read, and what a copy gains over distance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from seqprobe.estimators.enough import ALLOWED
from seqprobe_reports.figures.axes import (
    Panel,
    band,
    figure,
    level,
    line,
    nothing,
    on_log_axis,
    over_log_distance,
    thin,
)
from seqprobe_reports.figures.curves import Curve, by_model
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.subjects import Subject

CHECK, LOSS, KL = "context", "loss_bits", "kl_bits"


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model: above the loss over kept context, below copies over distance."""
    known = by_model(subjects, CHECK, LOSS) or by_model(subjects, CHECK, KL)
    copies = by_model(subjects, CHECK, "gained_bits", "copy")
    return figure(
        subjects,
        CHECK,
        Panel(known, partial(_kept, subjects), along="kept context (steps)"),
        Panel(copies, _copied, height=2.8),
    )


def _kept(subjects: Sequence[Subject], axes: Axes, curves: Sequence[Curve]) -> None:
    value = LOSS if curves[0].has(LOSS) else KL
    axes.set_ylabel("lost, against all context (bits)")
    shown = on_log_axis(axes, curves, value, shown=ALLOWED)
    band(axes, shown, *(("low", "high") if value == LOSS else ("kl_low", "kl_high")))
    line(axes, shown, value)
    if value == LOSS:
        thin(axes, [curve for curve in curves if curve.has(KL)], KL, "KL divergence", (0, (4, 2)))
    bottom, top = axes.get_ylim()
    if bottom <= ALLOWED <= top:
        level(axes, ALLOWED, "1%")
    for curve in curves:
        _mark(axes, subjects[curve.style], curve)
    over_log_distance(axes)


def _mark(axes: Axes, subject: Subject, curve: Curve) -> None:
    """The effective length, on the line of one percent."""
    needed = subject.metric(CHECK, "effective_length")
    if needed is not None and needed.value is not None:
        axes.plot(
            [needed.value], [ALLOWED],
            marker="D", markersize=7, markerfacecolor="none", markeredgecolor=curve.color,
            linestyle="", label="_effective",
        )  # fmt: skip


def _copied(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("gained by a copy (bits)")
    nothing(axes, curves, "null_high", "null")
    band(axes, curves)
    line(axes, curves, "gained_bits")
    over_log_distance(axes)
