"""What it costs to shuffle the past beyond a distance, to drop it, and to shuffle up to there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes

from seqprobe_reports.figures.axes import (
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

CHECK, SHUFFLE = "order", "shuffle_bits"


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model, and two thin ones beside it."""
    return figure(subjects, CHECK, Panel(by_model(subjects, CHECK, SHUFFLE), _paint))


def _paint(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("lost by shuffling beyond (bits)")
    shown = on_log_axis(axes, curves, SHUFFLE)
    band(axes, shown, "shuffle_low", "shuffle_high")
    line(axes, shown, SHUFFLE)
    beside = {
        "drop_bits": ("dropped instead", (0, (4, 2))),
        "within_bits": ("shuffled within", (0, (1, 1))),
    }
    for column, (name, dash) in beside.items():
        thin(axes, [_positive(c, column) for c in curves if c.has(column)], column, name, dash)
    over_log_distance(axes)


def _positive(curve: Curve, column: str) -> Curve:
    """With gaps where a logarithmic axis has no place."""
    values = curve.table[column]
    return replace(curve, table=curve.table.assign(**{column: values.where(values > 0)}))
