"""Heat maps of shares: kinds of tokens by distance, in the colour of the model.

A share is how opaque the colour is, so that maps follow the page into the dark as lines do.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, to_rgb

from seqprobe_reports import numbers
from seqprobe_reports.figures.axes import DISTANCE
from seqprobe_reports.figures.curves import Curve
from seqprobe_reports.figures.svg import INK, WIDTH, label

TITLE = "share of the surprisal of the data's tokens that is kept (%)"
LEVELS, OPAQUE = 10, 0.75
"""Steps of the colour bar, and how opaque the last one is: numbers on it can be read."""
MOST_DISTANCES, LINE = 18, 22
ROW, AROUND = 0.32, 0.95
LETTER = 4.6 / 72 / (0.85 * WIDTH)
"""The width of a small letter, as a share of the axes."""


def shares(curves: Sequence[Curve]) -> list[Curve]:
    """Tables of bits and surprisals with the share of the surprisal that is kept, 0 to 1."""
    known = [curve for curve in curves if curve.has("tokens", "bits", "surprisal")]
    return [found for curve in known if (found := _with_share(curve)).has("share")]


def heights(curve: Curve) -> float:
    """Inches that a map takes."""
    return AROUND + ROW * curve.table["tokens"].nunique()


def painted(axes: Axes, curves: Sequence[Curve], named: bool) -> None:
    """One map; its own labels stand within the axes, where they narrow no other panel."""
    (curve,) = curves
    cells = _cells(curve)
    names = [_name(tokens) for tokens in cells.index]
    left = LETTER * (1 + max(len(line) for name in names for line in name.split("\n"))) + 0.02
    axes.set_axis_off()
    axes.set_title(f"{TITLE}\n{curve.label}" if named else TITLE, loc="left", fontsize=10)
    inner, bar = axes.inset_axes((left, 0, 0.86 - left, 1)), axes.inset_axes((0.89, 0, 0.025, 1))
    squares(inner, cells, curve.color, cbar_ax=bar)
    for row, column in np.argwhere(cells.isna().to_numpy()):
        inner.text(column + 0.5, row + 0.5, "–", ha="center", va="center", fontsize=7.5)
    _label(inner, cells, names)
    bar.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=8)
    bar.set_ylabel("surprisal kept", fontsize=8)


def squares(
    axes: Axes, cells: pandas.DataFrame, color: str, *, percent: bool = True, **bar: Any
) -> None:
    """Shares between 0 and 1 as squares, with numbers in them or without."""
    seaborn.heatmap(
        cells, vmin=0, vmax=1, cmap=_colors(color), ax=axes, **bar,
        annot=cells.map(_percent) if percent else False, fmt="",
        annot_kws={"color": INK, "fontsize": 7.5}, xticklabels=False, yticklabels=False,
    )  # fmt: skip
    axes.collections[0].set_clip_on(False)
    axes.set(xlabel="", ylabel="")
    axes.tick_params(length=0)


def _with_share(curve: Curve) -> Curve:
    table = curve.table.dropna(subset=["distance"])
    share = (table["bits"] / table["surprisal"].where(table["surprisal"] > 0)).clip(0, 1)
    return replace(curve, table=table.assign(share=share, tokens=table["tokens"].map(str)))


def _cells(curve: Curve) -> pandas.DataFrame:
    """Tokens by distance, in the order of the table; at most so many distances, evenly chosen."""
    table = curve.table
    distances = np.sort(table["distance"].unique())
    if len(distances) > MOST_DISTANCES:
        chosen = np.linspace(0, len(distances) - 1, MOST_DISTANCES).round().astype(int)
        distances = distances[chosen]
    cells = table.groupby(["tokens", "distance"], sort=False)["share"].mean().unstack()
    return cells.reindex(index=table["tokens"].unique(), columns=distances)


def _name(tokens: str) -> str:
    """On as many lines as it needs.

    >>> _name("common (half of the text: 5 tokens)").splitlines()
    ['common (half of the', 'text: 5 tokens)']
    """
    return textwrap.fill(label(tokens), LINE)


def _colors(color: str) -> Colormap:
    colors = [(*to_rgb(color), opacity) for opacity in np.linspace(0, OPAQUE, LEVELS).round(2)]
    return ListedColormap(colors).with_extremes(bad=(*to_rgb(color), 0))


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.0f}"


def _label(axes: Axes, cells: pandas.DataFrame, names: Sequence[str]) -> None:
    missing = bool(cells.isna().to_numpy().any())
    axes.set_xlabel(f"{DISTANCE}; – not estimable" if missing else DISTANCE)
    columns = [numbers.number(distance) for distance in cells.columns.to_numpy(dtype=float)]
    room = axes.get_position().width * WIDTH * 72 / len(columns)
    upright = 90 if 4.6 * max(map(len, columns)) > room else 0
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, fontsize=7.5, rotation=upright)
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8, rotation=0)
