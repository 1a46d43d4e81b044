"""Numbers over the steps of a training: one pair of axes for each, with interval and null."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas
from matplotlib.axes import Axes

from seqprobe.contracts import Estimate
from seqprobe_reports import numbers
from seqprobe_reports.figures.axes import label_powers, level, marked
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.figures.svg import INK, PALETTE

MOST_POINTS, HEIGHT, FOOT = 300, 1.9, 0.6
WIDE = 100
"""Values that differ by more than this factor are drawn on a logarithmic axis."""
GREY = "#767676"


@dataclass(frozen=True)
class OverSteps:
    """One number over the steps: its name, and an estimate at each step."""

    metric: str
    estimates: Sequence[tuple[int, Estimate]]

    def label(self, distance: float | None) -> str:
        """The name in words, and the unit."""
        unit = next((each.unit for _, each in self.estimates if each.unit), "")
        words = self.metric.replace("_", " ")
        if distance is not None and words.endswith("at distance"):
            words = f"{words} {numbers.number(distance)}"
        return f"{words} ({unit})" if unit else words

    @property
    def drawable(self) -> bool:
        """Whether any step has a value or a bound, and training can change it."""
        fixed = all(each.exact for _, each in self.estimates)
        if fixed and len({each.value for _, each in self.estimates}) < 2:
            return False
        return bool(self.table[["value", "low", "high"]].notna().any(axis=None))

    @property
    def table(self) -> pandas.DataFrame:
        """One row per step, evenly thinned where there are many."""
        few = self.estimates[:: max(1, -(-len(self.estimates) // MOST_POINTS))]
        if self.estimates and few[-1] is not self.estimates[-1]:
            few = [*few, self.estimates[-1]]
        rows = [(step, e.value, e.low, e.high, *_null(e)) for step, e in few]
        names = ["step", "value", "low", "high", "null", "null_low", "null_high"]
        return pandas.DataFrame(rows, columns=names).astype("float64")


def draw(
    id: str,
    title: str,
    description: str,
    curves: Sequence[OverSteps],
    *,
    along: str = "training step",
    distance: float | None = None,
    marks: Mapping[int, str] | None = None,
) -> str:
    """One figure, a panel per number; nothing where there is nothing to draw.

    Args:
        id: of the figure in the page.
        title: of the figure, read out.
        description: what it shows, read out.
        curves: the numbers, one panel each.
        along: what the steps count.
        distance: that the task needs; marked where a horizon is shown.
        marks: vertical lines at steps, with their names.
    """
    drawn = [curve for curve in curves if curve.drawable]
    panels: list[tuple[float, Callable[[Axes], None]]] = []
    for number, curve in enumerate(drawn):
        last = number == len(drawn) - 1
        painted = partial(
            paint, curve=curve, along=along if last else "", distance=distance, marks=marks or {}
        )
        panels.append((HEIGHT + (FOOT if last or marks else 0), painted))
    return Drawing(id, title, description, panels).svg() if panels else ""


def paint(
    axes: Axes, curve: OverSteps, along: str, distance: float | None, marks: Mapping[int, str]
) -> None:
    """One number in its axes; arguments as for `draw`."""
    table = curve.table
    axes.set_xlabel(along)
    axes.set_ylabel(curve.label(distance))
    _scale(axes, table)
    _nothing(axes, table)
    if distance is not None and curve.metric == "horizon":
        level(axes, distance, "asked")
    few = len(table) <= 40
    axes.plot(table["step"], table["value"], color=PALETTE[0], marker="o" if few else "",
              markersize=3.5)  # fmt: skip
    if not few:
        _alone(axes, table)
    _bounds(axes, table)
    _band(axes, table)
    axes.grid(True, color=INK, alpha=0.12, linewidth=0.6, clip_on=False)
    for step, name in marks.items():
        marked(axes, step, name)


def _scale(axes: Axes, table: pandas.DataFrame) -> None:
    values = table["value"].dropna()
    if len(values) and values.min() > 0 and values.max() > WIDE * values.min():
        axes.set_yscale("log")
        axes.set_ylim(values.min() / 3, values.max() * 3)
        label_powers(axes)
    else:
        axes.yaxis.set_major_formatter(lambda value, _: numbers.number(value))
    axes.xaxis.set_major_formatter(lambda value, _: numbers.number(value))
    first, last = table["step"].min(), table["step"].max()
    room = 0.02 * (last - first) or 1
    axes.set_xlim(first - room, last + room)
    axes.locator_params(axis="x", integer=True)


def _nothing(axes: Axes, table: pandas.DataFrame) -> None:
    """What the same method finds where there is nothing."""
    if axes.get_yscale() == "linear":
        axes.fill_between(
            table["step"], table["null_low"], table["null_high"],
            color=GREY, alpha=0.25, linewidth=0,
        )  # fmt: skip
        axes.plot(table["step"], table["null"], color=GREY, linewidth=1, linestyle=(0, (2, 2)))


def _band(axes: Axes, table: pandas.DataFrame) -> None:
    """The interval around each value; one that is open on a side goes to the end of the axis."""
    ends = table[["low", "high"]].to_numpy().ravel()
    first = np.full(len(ends), table["step"].iloc[0])
    axes.update_datalim(np.stack([first, ends], axis=1)[np.isfinite(ends)])
    axes.autoscale_view(scalex=False, scaley=axes.get_yscale() == "linear")
    bottom, top = axes.get_ylim()
    bounded = table["value"].notna() & table[["low", "high"]].notna().any(axis=1)
    axes.fill_between(
        table["step"], table["low"].fillna(bottom), table["high"].fillna(top), where=bounded,
        color=PALETTE[0], alpha=0.18, linewidth=0,
    )  # fmt: skip
    axes.set_ylim(bottom, top)


def _alone(axes: Axes, table: pandas.DataFrame) -> None:
    """A value between two gaps is no line."""
    known = table["value"].notna()
    alone = known & ~known.shift(1, fill_value=False) & ~known.shift(-1, fill_value=False)
    axes.plot(table["step"][alone], table["value"][alone], "o", color=PALETTE[0], markersize=3.5)


def _bounds(axes: Axes, table: pandas.DataFrame) -> None:
    """Where only a bound is known, a triangle points to where the value must lie."""
    unknown = table[table["value"].isna()]
    for bound, other, marker in (("low", "high", "^"), ("high", "low", "v")):
        only = unknown[unknown[bound].notna() & unknown[other].isna()]
        if axes.get_yscale() == "log":
            only = only[only[bound] > 0]
        if len(only):
            axes.plot(only["step"], only[bound], marker, markersize=5, markerfacecolor="none",
                      markeredgecolor=PALETTE[0])  # fmt: skip


def _null(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    null = estimate.null
    return (None, None, None) if null is None else (null.value, null.low, null.high)


def spread(steps: Iterable[int], most: int) -> list[int]:
    """At most so many of the steps, the first and the last among them.

    >>> spread(range(0, 100, 10), 4)
    [0, 30, 60, 90]
    """
    ordered = sorted(set(steps))
    if len(ordered) <= most:
        return ordered
    return [ordered[round(at)] for at in np.linspace(0, len(ordered) - 1, most)]
