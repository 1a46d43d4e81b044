"""How far weights reach, what every head does, and where two of them look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas
from matplotlib.axes import Axes

from seqprobe_reports.figures.axes import Panel, figure, line, over_log_distance, thin
from seqprobe_reports.figures.curves import Curve, by_model
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.figures.heat import squares
from seqprobe_reports.figures.svg import label
from seqprobe_reports.subjects import Subject

CHECK, MOST_MODELS = "attention", 3
SCORES = {
    "induction": "induction",
    "previous_token": "previous token",
    "first": "first token",
    "entropy_ratio": "spread",
}
ROW, AROUND, TALLEST = 0.24, 0.95, 3.6
MOST_NUMBERS, MOST_TICKS, MOST_LETTERS = 48, 8, 8
FAINT = 0.03
"""Weights of a map that are not drawn."""


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """Distances, and the heads of each model; of a single one also the maps."""
    alone = len(subjects) == 1
    heads = by_model(subjects, CHECK, "entropy_ratio", "heads")[:MOST_MODELS]
    maps = by_model(subjects, CHECK, "layer", "map") if alone else []
    return figure(
        subjects,
        CHECK,
        Panel([_all_layers(c) for c in by_model(subjects, CHECK, "share")], _distances, height=2.8),
        *(Panel([c], partial(_heads, named=not alone), _height(c), along="") for c in heads),
        *(Panel([c], _maps, height=3.7, along="") for c in maps),
    )


def _all_layers(curve: Curve) -> Curve:
    """Means over the layers."""
    return replace(
        curve, table=curve.table.groupby("distance", as_index=False).mean(numeric_only=True)
    )


def _distances(axes: Axes, curves: Sequence[Curve]) -> None:
    axes.set_ylabel("share of the weights")
    line(axes, curves, "share")
    known = [curve for curve in curves if curve.has("equal_weights")]
    thin(axes, known[:1], "equal_weights", "equal weights", (0, (1, 2)))
    over_log_distance(axes)
    axes.set_ylim(bottom=0)


def _height(curve: Curve) -> float:
    return min(AROUND + ROW * curve.table["layer"].nunique(), TALLEST)


def _heads(axes: Axes, curves: Sequence[Curve], named: bool) -> None:
    """Side by side, in percent; each row is a layer."""
    (curve,) = curves
    shown = [name for name in SCORES if curve.has(name)]
    axes.set_axis_off()
    title = "what heads do, by layer (rows) and head (columns), in percent"
    axes.set_title(f"{title}\n{curve.label}" if named else title, loc="left", fontsize=10)
    for number, name in enumerate(shown):
        cells = curve.table.pivot_table(index="layer", columns="head", values=name)
        inner = axes.inset_axes((0.05 + 0.24 * number, 0, 0.21, 0.88))
        squares(inner, cells, curve.color, percent=cells.size <= MOST_NUMBERS, cbar=False)
        inner.set_title(SCORES[name], fontsize=8)
        _ticks(inner, cells, layers=number == 0)


def _ticks(axes: Axes, cells: pandas.DataFrame, layers: bool) -> None:
    """A few numbers of heads below, and of layers beside the first matrix."""
    heads, rows = (np.arange(count)[:: -(-count // MOST_TICKS)] for count in cells.shape[::-1])
    axes.set_xticks(heads + 0.5, [f"{cells.columns[i]:.0f}" for i in heads], fontsize=7.5)
    names = [f"{cells.index[i]:.0f}" for i in rows] if layers else []
    axes.set_yticks(rows + 0.5 if layers else [], names, fontsize=7.5, rotation=0)


def _maps(axes: Axes, curves: Sequence[Curve]) -> None:
    """Weights from each step (row) to those before it (columns)."""
    (curve,) = curves
    axes.set_axis_off()
    axes.set_title("where they look: from each step (rows) to others", loc="left", fontsize=10)
    for number, (role, table) in enumerate(curve.table.groupby("role", sort=True)):
        columns = [name for name in table if str(name).startswith("to_")]
        tokens = [_token(text) for text in table["token"]]
        weights = table[columns].iloc[:, : len(table)]
        inner = axes.inset_axes((0.07 + 0.5 * number, 0.12, 0.41, 0.76))
        squares(inner, weights.where(weights >= FAINT), curve.color, percent=False, cbar=False)
        where = f"layer {table['layer'].iloc[0]:.0f}, head {table['head'].iloc[0]:.0f}"
        inner.set_title(f"{label(str(role))} ({where})", fontsize=8)
        inner.set_xticks(np.arange(len(tokens)) + 0.5, tokens, fontsize=7, rotation=90)
        inner.set_yticks(np.arange(len(tokens)) + 0.5, tokens, fontsize=7, rotation=0)


def _token(text: object) -> str:
    r"""A short name; spaces and ends of lines are shown.

    >>> _token(" the\n")
    '␣the↵'
    """
    shown = label(str(text).replace(" ", "␣").replace("\n", "↵"))
    return shown if len(shown) <= MOST_LETTERS else f"{shown[: MOST_LETTERS - 1]}…"
