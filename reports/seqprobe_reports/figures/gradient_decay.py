"""Gradient norm over distance: a straight line is exponential decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from matplotlib.axes import Axes

from seqprobe_reports.baselines import BASELINES
from seqprobe_reports.figures.axes import Dash, Panel, band, figure, level, line, on_log_axis, thin
from seqprobe_reports.figures.curves import Curve, by_model, by_site
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.subjects import Subject

CHECK, HORIZON = "gradient-decay", 1e-3
AHEAD = "inputs ahead"
LONG: Dash = (0, (14, 3))


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One model with its baselines and what lies ahead, and all sites; of several the outputs."""
    curves = by_site(subjects, CHECK, "relative", key="output")
    if len(subjects) > 1:
        return figure(subjects, CHECK, Panel(curves, partial(_models, subjects)))
    sites = curves if len(curves) > 1 else []
    return figure(
        subjects,
        CHECK,
        Panel(_with_baselines(subjects, curves[:1]), partial(_one, subjects)),
        Panel(sites, relative, height=3.2),
    )


def _with_baselines(subjects: Sequence[Subject], own: Sequence[Curve]) -> list[Curve]:
    beside = [
        replace(curve, label=name, style=style)
        for style, (id, name) in enumerate(BASELINES.items(), 1)
        for curve in by_model(subjects, CHECK, "relative", id)
    ]
    ahead = [
        replace(curve, label=AHEAD, style=len(BASELINES) + 1)
        for curve in by_model(subjects, CHECK, "relative", "ahead")
    ]
    return [*own, *beside, *ahead] if own else []


def _one(subjects: Sequence[Subject], axes: Axes, curves: Sequence[Curve]) -> None:
    own = [curve for curve in curves[:1] if curve.has("rms")]
    attributed = by_model(subjects, CHECK, "relative", "attribution")
    relative(axes, curves, decisive=curves[:1])
    thin(axes, own, "rms", "root mean square")
    thin(axes, [replace(curve, style=3) for curve in attributed], "relative", "attribution", LONG)


def _models(subjects: Sequence[Subject], axes: Axes, curves: Sequence[Curve]) -> None:
    relative(axes, curves)
    thin(axes, by_model(subjects, CHECK, "relative", "untrained"), "relative", "untrained", LONG)


def relative(axes: Axes, curves: Sequence[Curve], decisive: Sequence[Curve] = ()) -> None:
    """Curves relative to distance 0, with the level that makes the horizon."""
    axes.set_ylabel("gradient, relative to distance 0")
    shown = on_log_axis(axes, curves, "relative", decisive, HORIZON)
    band(axes, shown)
    line(axes, shown, "relative")
    axes.set_xlim(left=0)
    level(axes, HORIZON, "horizon")
