"""How much the output changes when an input at some distance is exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes

from seqprobe_reports.figures.axes import Panel, band, figure, line, on_log_axis, over_log_distance
from seqprobe_reports.figures.curves import Curve, by_model
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.subjects import Subject

CHECK = "position"
PLACE = "position of the input"


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model: by distance, and for the last predictions by where the input stands."""
    return figure(
        subjects,
        CHECK,
        Panel(_curves(subjects), _by_distance),
        Panel(by_model(subjects, CHECK, "last_kl_bits", "absolute"), _by_place, 2.6, PLACE),
    )


def _curves(subjects: Sequence[Subject]) -> list[Curve]:
    """Of a single model that looks ahead, both directions."""
    own, ahead = (by_model(subjects, CHECK, "kl_bits", side) for side in ("", "ahead"))
    if len(subjects) > 1:
        return own
    return [*own, *(replace(curve, label="inputs ahead", style=1) for curve in ahead)]


def _by_distance(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("change of the output (bits)")
    shown = on_log_axis(axes, curves, "kl_bits")
    band(axes, shown)
    line(axes, shown, "kl_bits")
    over_log_distance(axes)


def _by_place(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("last outputs (bits)")
    names = {"last_low": "low", "last_high": "high"}
    own = [
        replace(curve, table=curve.table.drop(columns=["low", "high"]).rename(columns=names))
        for curve in curves
    ]
    shown = on_log_axis(axes, own, "last_kl_bits")
    band(axes, shown)
    line(axes, shown, "last_kl_bits")
