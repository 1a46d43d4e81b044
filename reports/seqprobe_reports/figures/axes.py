"""Curves over distance, all models of a page in one pair of axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import pandas
import seaborn
from matplotlib.axes import Axes

from seqprobe_reports import numbers
from seqprobe_reports.figures.curves import Curve, sparse, thinned
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.figures.svg import DASHES, INK, MARKERS
from seqprobe_reports.subjects import Subject

DISTANCE = "distance (steps)"
MOST_POINTS = 500
FLAT = 5
"""So many times higher than its curves a pair of axes may be."""
DECADES = 10
"""How far below its top a logarithmic axis reaches."""

Dash: TypeAlias = str | tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class Panel:
    """Curves in one pair of axes, and how they are painted.

    `along` is what the horizontal axis shows, empty where the painter makes axes of its own.
    """

    curves: Sequence[Curve]
    paint: Callable[[Axes, Sequence[Curve]], None]
    height: float = 3.7
    along: str = DISTANCE


def figure(subjects: Sequence[Subject], check: str, *panels: Panel) -> Drawing | None:
    """One figure of a check, described by the headlines of its models; nothing without curves."""
    drawn = [(panel.height, partial(_paint, subjects, panel)) for panel in panels if panel.curves]
    if not drawn:
        return None
    known = [(subject.name, found) for subject in subjects if (found := subject.check(check))]
    description = " ".join(f"{name}: {found.headline}" for name, found in known)
    return Drawing(check, known[0][1].title, description, drawn)


def _paint(subjects: Sequence[Subject], panel: Panel, axes: Axes) -> None:
    axes.set_xlabel(panel.along)
    panel.paint(axes, panel.curves)
    if not panel.along:
        return
    axes.grid(True, color=INK, alpha=0.12, linewidth=0.6, clip_on=False)
    if panel.along == DISTANCE:
        for distance in sorted({subject.report.distance for subject in subjects}):
            asked(axes, distance)
    legend(axes, always=len(subjects) > 1)


def line(axes: Axes, curves: Sequence[Curve], value: str) -> None:
    """The curves with their intervals; gaps stay gaps."""
    table = pandas.concat(
        [
            thinned(curve.table, MOST_POINTS // len(curves)).assign(
                curve=curve.label, run=curve.table[value].isna().cumsum()
            )
            for curve in curves
        ],
        ignore_index=True,
    )
    labels = [curve.label for curve in curves]
    seaborn.lineplot(
        table.dropna(subset=[value]),
        x="distance", y=value, hue="curve", style="curve", units="run", estimator=None,
        hue_order=labels, style_order=labels, palette=[curve.color for curve in curves],
        dashes=[DASHES[curve.style % len(DASHES)] for curve in curves],
        markers=[MARKERS[curve.style % len(MARKERS)] for curve in curves],
        markevery=0.12, markersize=4.5, markeredgewidth=0, ax=axes,
    )  # fmt: skip


def thin(axes: Axes, curves: Sequence[Curve], value: str, name: str, dash: Dash = "-") -> None:
    """Curves that accompany others, under one name; they may run out of a logarithmic axis."""
    several = len(curves) > 1
    for curve in curves:
        table = thinned(curve.table, MOST_POINTS // len(curves))
        axes.plot(
            table["distance"], table[value],
            color=curve.color, linewidth=1, linestyle=dash, label="_thin" if several else name,
        )  # fmt: skip
    if several:
        axes.plot([], [], color=INK, linewidth=1, linestyle=dash, label=name)


def band(axes: Axes, curves: Sequence[Curve], low: str = "low", high: str = "high") -> None:
    """The interval around each curve."""
    for curve in curves:
        if curve.has(low, high):
            table = thinned(curve.table, MOST_POINTS // len(curves))
            axes.fill_between(
                table["distance"], table[low], table[high],
                color=curve.color, alpha=0.18, linewidth=0,
            )  # fmt: skip


def on_log_axis(
    axes: Axes,
    curves: Sequence[Curve],
    value: str,
    decisive: Sequence[Curve] = (),
    shown: float = math.inf,
) -> list[Curve]:
    """Make the y axis logarithmic; triangles at its foot stand for what lies below it.

    `decisive` curves alone say how deep it reaches, or all; it reaches below `shown` in any case.
    """
    positive = _positive(curves, value)
    deep = _positive(decisive or curves, value)
    if positive.empty or deep.empty:
        return list(curves)
    foot = min(shown / 4, max(deep.min() / 2, positive.max() * 10.0**-DECADES))
    axes.set_yscale("log")
    axes.set_ylim(bottom=foot, top=positive.max() * 2)
    label_powers(axes)
    below = [_mark_below(axes, curve, value, foot) for curve in curves]
    if any(below):
        axes.annotate(
            "▽ zero, or below this axis",
            (0.99, 0.05),
            xycoords="axes fraction",
            ha="right",
            fontsize=8,
        )
    return [_above(curve, value, foot) for curve in curves]


def _positive(curves: Sequence[Curve], value: str) -> pandas.Series[float]:
    values = pandas.concat([curve.table[value] for curve in curves])
    positive: pandas.Series[float] = values[values > 0]
    return positive


def label_powers(axes: Axes) -> None:
    """Powers of ten; on a short axis plain numbers, also between them."""
    bottom, top = axes.get_ylim()
    short = top / bottom < 100
    between = (2, 3, 5) if short else ()
    axes.yaxis.set_major_formatter(
        lambda y, _: numbers.number(y) if short else numbers.power_of_ten(round(math.log10(y)))
    )
    axes.yaxis.set_minor_formatter(
        lambda y, _: numbers.number(y) if _leading_digit(y) in between else ""
    )


def _leading_digit(value: float) -> int:
    return int(f"{value:e}"[0])


def _mark_below(axes: Axes, curve: Curve, value: str, foot: float) -> bool:
    below = sparse(curve.table[curve.table[value] <= foot])
    if below.empty:  # markers of no points would take up room in the corner of the figure
        return False
    axes.plot(
        below["distance"], [0.0] * len(below),
        transform=axes.get_xaxis_transform(), linestyle="", marker="v", markersize=5,
        markerfacecolor="none", markeredgecolor=curve.color, clip_on=False, label="_below",
    )  # fmt: skip
    return True


def _above(curve: Curve, value: str, foot: float) -> Curve:
    table = curve.table.copy()
    table[value] = table[value].where(table[value] > foot)
    for bound in {"low", "high"} & set(table):
        table[bound] = table[bound].clip(lower=foot)
    return replace(curve, table=table)


def over_log_distance(axes: Axes) -> None:
    """Logarithmic distance that still shows distance 0, and not only that."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.4, base=10)
    axes.set_xlim(0, max(1, axes.get_xlim()[1]))
    axes.xaxis.set_major_formatter(lambda value, _: numbers.number(value))


def asked(axes: Axes, distance: float) -> None:
    """Mark the distance that the user asks about, where the axis reaches it."""
    marked(axes, distance, f"asked: {numbers.number(distance)}")


def marked(axes: Axes, place: float, name: str) -> None:
    """A dotted vertical line with its name above, where the axis reaches it."""
    if axes.get_xlim()[0] <= place <= axes.get_xlim()[1]:
        axes.axvline(place, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        axes.annotate(
            name, (place, 1), xytext=(0, 2),
            xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="bottom", fontsize=8,
        )  # fmt: skip


def level(axes: Axes, height: float, name: str) -> None:
    """A thin horizontal line with its name beside the axes."""
    axes.axhline(height, color=INK, linewidth=0.8, linestyle=(0, (6, 3)))
    axes.annotate(name, (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8)


def nothing(axes: Axes, curves: Sequence[Curve], *names: str) -> None:
    """What the same method reads where there is nothing: up to the first of columns there is."""
    for curve in curves:
        upper = next((name for name in names if curve.has(name)), None)
        if upper:
            axes.fill_between(
                curve.table["distance"], 0, curve.table[upper],
                color="#767676", alpha=0.25, linewidth=0,
            )  # fmt: skip


def bits_over_distance(axes: Axes, curves: Sequence[Curve]) -> None:
    """From zero up to the ceiling of the curves, unless that would press them flat."""
    over_log_distance(axes)
    bottom, top = axes.get_ylim()
    ceilings = {curve.table["ceiling"].max() for curve in curves if curve.has("ceiling")}
    near = {ceiling for ceiling in ceilings if ceiling <= FLAT * top}
    axes.set_ylim(min(0, bottom), max([top, *(1.05 * ceiling for ceiling in near)]))
    for ceiling in near:
        level(axes, ceiling, "ceiling")


def legend(axes: Axes, *, always: bool) -> None:
    """Names above the axes, where they cover nothing; a single one may go without saying."""
    handles, labels = axes.get_legend_handles_labels()
    if always or len(labels) > 1:
        axes.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(0, 1.05), borderaxespad=0.2,
            ncols=legend_columns(labels),
        )  # fmt: skip
    elif drawn := axes.get_legend():
        drawn.remove()


def legend_columns(labels: Sequence[str]) -> int:
    """How many names fit side by side above the axes."""
    if sum(len(label) + 7 for label in labels) <= 72:
        return len(labels)
    return max(1, 72 // (max(map(len, labels)) + 7))
