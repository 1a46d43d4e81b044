"""What probes find and rules conclude; written down, read and drawn without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas

Status = Literal["problem", "attention", "fine", "info", "not applicable", "not run", "error"]
Source = Literal["theory", "paper", "our convention"]
Gravity = Literal["attention", "problem"]
AT_LEAST: Mapping[str, tuple[Status, ...]] = {
    "attention": ("problem", "attention"),
    "problem": ("problem",),
}
"""What is as grave as that or graver."""
Cell = float | int | str | bool | None
SATURATED = 0.98


@dataclass(frozen=True)
class Null:
    """The same estimate where there is nothing to find."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Interval:
    """Between what a number lies, and what each sequence has to do with it.

    `spread` is its standard error. `influence`: how far the number would move, times the number of
    sequences, if the sequence counted once more; of two numbers read off the same sequences it
    tells how they vary together. Both are empty where they are not known.
    """

    low: float
    high: float
    spread: float | None = None
    influence: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Estimate:
    """One number with all that is needed to believe it.

    `low` and `high` bound it at `level`; one of them alone means unbounded on the other side.
    `n` counts independent sequences. `exact` values (counts, closed forms) need no interval.
    A `lower_bound` lies below the truth, however many sequences there are. `value` is None when it
    cannot be estimated, and `reason` says why. `spread` and `influence` are those of `Interval`.
    """

    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    n: int = 0
    null: Null | None = None
    ceiling: float | None = None
    exact: bool = False
    lower_bound: bool = False
    reason: str = ""
    spread: float | None = None
    influence: tuple[float, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "ceiling", "spread"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"Estimate.{name} is {number}; use None with a reason")
        if self.value is None and not self.reason:
            raise ValueError("an Estimate without a value needs a reason")

    @classmethod
    def missing(cls, unit: str, because: str, **known: Any) -> Estimate:
        """Not estimable, because ..."""
        return cls(None, unit, reason=because, **known)

    @classmethod
    def sampled(
        cls,
        value: float,
        unit: str,
        interval: Interval | None,
        *,
        n: int,
        null: Null,
        ceiling: float | None = None,
        beyond: str = "",
        longest: float | None = None,
    ) -> Estimate:
        """A value from sequences.

        An infinite one is not estimable because of `beyond`; it is then at least `longest`, if
        that is given.
        """
        known: dict[str, Any] = {"n": n, "null": null, "ceiling": ceiling}
        if interval is not None:
            low, high = _finite(interval.low), _finite(interval.high)
            known |= {"low": longest if low is None else low, "high": high}
            known |= {"spread": interval.spread, "influence": interval.influence}
        if not math.isfinite(value):
            return cls.missing(unit, beyond or "the value is not finite", **known)
        no_interval = f"{n} sequences are too few for an interval" if interval is None else ""
        return cls(float(value), unit, reason=no_interval, **known)

    def brief(self) -> Estimate:
        """Without the influence of single sequences, which only comparisons need."""
        return replace(self, influence=())

    @property
    def status(self) -> Literal["not estimable", "saturated", "bound", "estimate"]:
        """What kind of number it is; a saturated one is as large as it can be shown to be."""
        if self.value is None:
            return "not estimable"
        if self.ceiling is not None and self.value >= SATURATED * self.ceiling:
            return "saturated"
        return "bound" if self.lower_bound else "estimate"

    @property
    def supports_findings(self) -> bool:
        """A sampled value without interval or null can raise no finding."""
        sampled = self.null is not None and (self.low is not None or self.high is not None)
        return self.exact or sampled


@dataclass(frozen=True)
class Column:
    """A column of a `Series`."""

    name: str
    unit: str = ""
    type: Literal["number", "text", "flag"] = "number"


@dataclass(frozen=True)
class Series:
    """A measured curve as a tidy table; the first column is distance, length or position.

    Empty cells are None; `missing` then says why. `note` says what was left out.
    """

    id: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total_rows: int
    missing: str = ""
    note: str = ""

    @classmethod
    def of(
        cls, id: str, columns: Mapping[str, Any], units: Mapping[str, str] | None = None
    ) -> Series:
        """Build from equally long columns of numbers, flags or words; NaN becomes an empty cell."""
        typed = {name: np.asarray(values) for name, values in columns.items()}
        cells = [[_cell(value) for value in values.tolist()] for values in typed.values()]
        heads = tuple(
            Column(name, (units or {}).get(name, ""), _column_type(values))
            for name, values in typed.items()
        )
        rows = tuple(zip(*cells, strict=True))
        gaps = any(cell is None for row in rows for cell in row)
        return cls(id, heads, rows, len(rows), "not estimable there" if gaps else "")

    @classmethod
    def stacked(cls, id: str, parts: Sequence[Mapping[str, Any]]) -> Series:
        """Several curves over distance in one table; a single value holds for all its rows."""
        even = [dict(zip(part, np.broadcast_arrays(*part.values()), strict=True)) for part in parts]
        columns = {name: np.concatenate([part[name] for part in even]) for name in parts[0]}
        return cls.of(id, columns, {"distance": "steps"})

    def rounded(self, digits: int) -> Series:
        """The same table with its numbers kept to so many significant digits."""

        def short(cell: Cell) -> Cell:
            return float(f"{cell:.{digits}g}") if isinstance(cell, float) else cell

        return replace(self, rows=tuple(tuple(map(short, row)) for row in self.rows))

    def of_few_sites(self, most: int) -> Series:
        """Of curves over distance at many sites: the first two, the last, evenly those between."""
        names = [column.name for column in self.columns]
        if names[0] != "distance" or "site" not in names:
            return self
        sites = list(dict.fromkeys(self.column("site")))
        if len(sites) <= most:
            return self
        between = np.linspace(2, len(sites) - 1, most - 2).round().astype(int)
        kept = {sites[number] for number in (0, 1, *between)}
        rows = tuple(row for row in self.rows if row[names.index("site")] in kept)
        note = (
            f"{most} of {len(sites)} sites, evenly chosen, so that deep models have small reports"
        )
        return replace(self, rows=rows, total_rows=len(rows), note=note)

    def of_few_distances(self, most: int, kept: Callable[[int], Collection[int]]) -> Series:
        """Of curves over more than so many distances: those `kept` of the largest one."""
        if self.columns[0].name != "distance" or len(found := {*self.column("distance")}) <= most:
            return self
        chosen = {*kept(int(max(found)))}
        rows = tuple(row for row in self.rows if row[0] in chosen)
        left = f"{len(found & chosen)} of {len(found)} distances, denser nearby"
        note = "; ".join(filter(None, (self.note, left)))
        return replace(self, rows=rows, total_rows=len(rows), note=note)

    def column(self, name: str) -> list[Any]:
        """The cells of one column, top to bottom."""
        index = [column.name for column in self.columns].index(name)
        return [row[index] for row in self.rows]

    def to_pandas(self) -> pandas.DataFrame:
        """A column for each of its own, with NaN or NA in empty cells.

        Units stand in `frame.attrs["units"]`, by column.
        """
        import pandas

        kinds = {"number": "float64", "flag": "boolean", "text": "string"}
        frame = pandas.DataFrame(
            {
                column.name: pandas.Series(self.column(column.name), dtype=kinds[column.type])
                for column in self.columns
            }
        )
        frame.attrs["units"] = {column.name: column.unit for column in self.columns if column.unit}
        return frame


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _cell(value: Any) -> Cell:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    cell: Cell = value
    return cell


def _column_type(values: np.ndarray) -> Literal["number", "text", "flag"]:
    return {"b": "flag", "U": "text"}.get(values.dtype.kind, "number")  # type: ignore[return-value]


@dataclass(frozen=True)
class Measurement:
    """What one probe found: named estimates, the headline among them, and the curves."""

    headline: str
    metrics: Mapping[str, Estimate]
    key: str
    series: tuple[Series, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def estimate(self) -> Estimate:
        """The headline number."""
        return self.metrics[self.key]


@dataclass(frozen=True)
class Finding:
    """What a rule concludes, and what would show it to be wrong.

    `statement` is what was measured, `consequence` so what, `remedy` what to do.
    """

    rule: str
    check: str
    status: Status
    statement: str
    metric: str
    evidence: Estimate
    threshold: str
    source: Source
    reference: str
    remedy: str
    falsified_by: str
    consequence: str = ""
