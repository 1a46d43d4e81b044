"""Bits about a past symbol that can be read from the state, over distance; and of which tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from matplotlib.axes import Axes

from seqprobe_reports.figures.axes import (
    Dash,
    Panel,
    band,
    bits_over_distance,
    figure,
    line,
    nothing,
    thin,
)
from seqprobe_reports.figures.curves import Curve, by_model, by_site
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.figures.heat import heights, painted, shares
from seqprobe_reports.figures.svg import INK
from seqprobe_reports.subjects import Subject

CHECK, MOST_MAPS = "bottleneck", 3
MEMORY = "only from a memory"
DOTTED: Dash = (0, (1, 2))


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """Independent symbols: all sites of one model, or the key site of several; below, the data."""
    alone = len(subjects) == 1
    value = "lower_bound"
    curves = by_site(subjects, CHECK, value)
    if not curves:
        value = "estimate"
        curves = by_site(subjects, CHECK, value)
    kept = by_model(subjects, CHECK, "conditional", "data")
    maps = shares(by_model(subjects, CHECK, "bits", "tokens-data"))[:MOST_MAPS]
    return figure(
        subjects,
        CHECK,
        Panel(curves, partial(_symbols, value=value, alone=alone)),
        Panel(kept, partial(_data, alone=alone)),
        *(
            Panel([each], partial(painted, named=not alone), heights(each), along="")
            for each in maps
        ),
    )


def _symbols(axes: Axes, curves: Sequence[Curve], value: str, alone: bool) -> None:
    axes.set_ylabel("readable from the state (bits)")
    nothing(axes, curves, "null_high", "null")
    band(axes, curves)
    line(axes, curves, value)
    estimated = [curve for curve in curves if curve.has("estimate")]
    if alone and estimated and value != "estimate":
        thin(axes, estimated, "estimate", "best estimate")
    bits_over_distance(axes, curves)


def _data(axes: Axes, curves: Sequence[Curve], alone: bool) -> None:
    """Thin what is readable, bold what only a memory can add."""
    axes.set_ylabel("readable of the data (bits)")
    nothing(axes, curves, "conditional_null")
    band(axes, curves, "conditional_low", "conditional_high")
    line(axes, [replace(c, label=MEMORY) for c in curves] if alone else curves, "conditional")
    if not alone:
        axes.plot([], [], color=INK, label=MEMORY)
    thin(axes, [c for c in curves if c.has("lower_bound")], "lower_bound", "all that is readable")
    if alone and curves[0].has("conditional_ceiling"):
        thin(axes, curves, "conditional_ceiling", "not told by nearer tokens", DOTTED)
    bits_over_distance(axes, curves)
