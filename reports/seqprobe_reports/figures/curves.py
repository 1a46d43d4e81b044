"""The curves of a figure: which model, which site, which rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas

from seqprobe.contracts import Series
from seqprobe.names import distinct
from seqprobe_reports.figures.svg import PALETTE, label
from seqprobe_reports.subjects import Subject


@dataclass(frozen=True)
class Curve:
    """A line to draw: its label, its number in the palette, and its table."""

    label: str
    style: int
    table: pandas.DataFrame

    @property
    def color(self) -> str:
        """The same model has the same colour in every figure."""
        return PALETTE[self.style % len(PALETTE)]

    def has(self, *columns: str) -> bool:
        """Whether there is anything in these columns."""
        return all(name in self.table and self.table[name].notna().any() for name in columns)


def by_model(subjects: Sequence[Subject], check: str, value: str, beside: str = "") -> list[Curve]:
    """One curve per model, from the check's own table or from one that stands beside it."""
    return _drawable(
        [
            Curve(name, number, frame(table))
            for number, (name, subject) in enumerate(_named(subjects))
            if (table := subject.curve(check, beside)) is not None
        ],
        value,
    )


def by_site(
    subjects: Sequence[Subject], check: str, value: str, key: str | None = None
) -> list[Curve]:
    """Of one model all sites; of several models the key site of each, or else its first."""
    curves = by_model(subjects, check, value)
    if len(subjects) > 1:
        return _drawable([at_key_site(curve, key) for curve in curves], value)
    return _drawable([part for curve in curves for part in _split(curve)], value)


def frame(table: Series) -> pandas.DataFrame:
    """A table in pandas; its first column is called distance."""
    return table.to_pandas().rename(columns={table.columns[0].name: "distance"})


def thinned(table: pandas.DataFrame, most: int) -> pandas.DataFrame:
    """At most so many rows, denser at short distances."""
    if len(table) <= most:
        return table
    rows = np.unique(np.geomspace(1, len(table), most).round().astype(int)) - 1
    return table.iloc[rows]


def sparse(table: pandas.DataFrame, most: int = 12) -> pandas.DataFrame:
    """A few rows, evenly spread."""
    return table.iloc[:: max(1, -(-len(table) // most))]


def _named(subjects: Sequence[Subject]) -> list[tuple[str, Subject]]:
    names = distinct(label(subject.name) for subject in subjects)
    return list(zip(names, subjects, strict=True))


def _drawable(curves: Sequence[Curve], value: str) -> list[Curve]:
    return [curve for curve in curves if curve.has(value)]


def _sites(curve: Curve) -> list[str]:
    return list(curve.table["site"].unique()) if "site" in curve.table else []


def at_key_site(curve: Curve, key: str | None = None) -> Curve:
    """The curve of one site, where a table has several: the key one, or else the first."""
    sites = _sites(curve)
    return _at(curve, key if key in sites else next(iter(sites), None))


def _spread(sites: Sequence[str]) -> list[str]:
    """As many sites as the palette can tell apart, the first and the last among them."""
    if len(sites) <= len(PALETTE):
        return list(sites)
    chosen = np.linspace(0, len(sites) - 1, len(PALETTE)).round()
    return [sites[int(number)] for number in chosen]


def _split(curve: Curve) -> list[Curve]:
    sites = _spread(_sites(curve))
    labels = distinct(label(site) for site in sites)
    return [
        replace(_at(curve, site), label=name, style=number)
        for number, (site, name) in enumerate(zip(sites, labels, strict=True))
    ] or [curve]


def _at(curve: Curve, site: str | None) -> Curve:
    if site is None:
        return curve
    return replace(curve, table=curve.table[curve.table["site"] == site])
