"""Which share of the influence lies within a distance, trained and untrained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from seqprobe_reports.figures.axes import Panel, band, figure, line, over_log_distance, thin
from seqprobe_reports.figures.curves import Curve, by_model
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.subjects import Subject

CHECK = "locality"


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model; dashed the untrained one, dotted on independent inputs."""
    beside = {
        "before training": (by_model(subjects, CHECK, "within", "untrained"), "--"),
        "on independent inputs": (by_model(subjects, CHECK, "within", "iid"), ":"),
    }
    curves = by_model(subjects, CHECK, "within")
    return figure(subjects, CHECK, Panel(curves, partial(_paint, beside=beside)))


def _paint(axes: Axes, curves: Sequence[Curve], beside: dict[str, tuple[list[Curve], str]]) -> None:
    axes.set_ylabel("share of the influence")
    band(axes, curves)
    line(axes, curves, "within")
    for name, (others, dash) in beside.items():
        thin(axes, others, "within", name, dash)
    over_log_distance(axes)
    axes.set_ylim(0, 1.02)
