"""Curves over distance at some steps of a training, from early to late."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from seqprobe.training.story import Story
from seqprobe_reports import numbers
from seqprobe_reports.figures.axes import (
    asked,
    band,
    bits_over_distance,
    legend,
    line,
    on_log_axis,
    over_log_distance,
)
from seqprobe_reports.figures.curves import Curve, at_key_site, frame
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.figures.gradient_decay import relative
from seqprobe_reports.figures.over_steps import spread
from seqprobe_reports.figures.svg import INK, PALETTE

HEIGHT = 3.6


def draw(story: Story, check: str) -> str:
    """One curve per step, at most as many as the palette can tell apart."""
    if check not in PAINTERS:
        return ""
    column, along, paint = PAINTERS[check]
    curves = _curves(story, check, column)
    if not curves:
        return ""

    def painted(axes: Axes) -> None:
        axes.set_xlabel(along)
        paint(axes, curves)
        axes.grid(True, color=INK, alpha=0.12, linewidth=0.6, clip_on=False)
        if along == DISTANCE:
            asked(axes, story.training.distance)
        legend(axes, always=True)

    first, last = curves[0].label, curves[-1].label
    return Drawing(
        f"{check}-through-training",
        f"{check}, from {first} to {last}",
        f"The curve of {check} at {', '.join(curve.label for curve in curves)}.",
        [(HEIGHT, painted)],
    ).svg()


def _curves(story: Story, check: str, column: str) -> list[Curve]:
    tables = {line.step: line.table for line in story.of(check) if line.table is not None}
    curves = [
        at_key_site(Curve(f"step {numbers.number(step)}", number, frame(tables[step])))
        for number, step in enumerate(spread(tables, len(PALETTE)))
    ]
    return [curve for curve in curves if curve.has(column)]


def _bits(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("readable from the state (bits)")
    band(axes, curves)
    line(axes, curves, "lower_bound")
    bits_over_distance(axes, curves)


def _use(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("change of the output (bits)")
    _logarithmic(axes, curves, "kl_bits")
    over_log_distance(axes)


def _norms(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("norm of the loss gradient")
    _logarithmic(axes, curves, "norm")


def _logarithmic(axes: Axes, curves: Sequence[Curve], column: str) -> None:
    shown = on_log_axis(axes, curves, column)
    band(axes, shown)
    line(axes, shown, column)


Painter = Callable[[Axes, Sequence[Curve]], None]
DISTANCE = "distance (steps)"
PAINTERS: dict[str, tuple[str, str, Painter]] = {
    "gradient-decay": ("relative", DISTANCE, relative),
    "gradient-draw": ("relative", DISTANCE, relative),
    "bottleneck": ("lower_bound", DISTANCE, _bits),
    "position": ("kl_bits", DISTANCE, _use),
    "loss-gradient": ("norm", "position", _norms),
}
