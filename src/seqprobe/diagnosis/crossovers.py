"""From which length on one model is cheaper than the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from seqprobe.contracts import Estimate, Series
from seqprobe.estimators.growth import Law, cost, crossing, law
from seqprobe.records import Crossover
from seqprobe.report import Report


class Cost(NamedTuple):
    """A column of a table over length; `bounds` are those of its interval, if it was timed."""

    name: str
    table: str
    column: str
    bounds: tuple[str, str] | None = None


COSTS = (
    Cost("FLOPs", "sequential-depth", "flops"),
    Cost("longest chain of operators", "sequential-depth", "depth"),
    Cost("bytes carried", "memory", "carried"),
    Cost("bytes kept for training", "memory", "training"),
    *[
        Cost(f"seconds, {way}", "throughput", f"{way}_seconds", (f"{way}_low", f"{way}_high"))
        for way in ("forward", "training", "decoding")
    ],
)


BEYOND = 1.01


@dataclass(frozen=True)
class _Curve:
    """One cost of one model: its laws through the values and through what bounds them."""

    model: str
    lengths: np.ndarray
    middle: Law
    low: Law
    high: Law


def crossovers(reports: Sequence[Report]) -> tuple[Crossover, ...]:
    """For each cost and each pair of models the length at which the cheaper one changes."""
    found = []
    for each in COSTS:
        curves = [curve for report in reports if (curve := _curve(report, each)) is not None]
        found += [_crossover(each, *pair) for pair in combinations(curves, 2)]
    return tuple(found)


def _curve(report: Report, each: Cost) -> _Curve | None:
    table = next((table for table in report.tables if table.id == each.table), None)
    if table is None or each.column not in [column.name for column in table.columns]:
        return None
    lengths = _numbers(table, "length")
    columns = (each.column, *(each.bounds or (each.column, each.column)))
    middle, low, high = (law(lengths, _numbers(table, name)) for name in columns)
    if middle is None or low is None or high is None:
        return None
    return _Curve(report.model.name, lengths, middle, low, high)


def _numbers(table: Series, column: str) -> np.ndarray:
    return np.array(table.column(column), dtype=np.float64)


def _crossover(each: Cost, first: _Curve, second: _Curve) -> Crossover:
    low = max(first.lengths[0], second.lengths[0])
    high = min(first.lengths[-1], second.lengths[-1])
    length = crossing(first.middle, second.middle, low, high)
    beyond = high if length is None else length * BEYOND
    start, end = (_cheaper(first, second, n) for n in (low, beyond))
    estimate = (
        _none(first, second, low, high)
        if length is None
        else _found(length, each, first, second, (low, high))
    )
    return Crossover(each.name, (first.model, second.model), estimate, start, end)


def _found(
    length: float, each: Cost, first: _Curve, second: _Curve, within: tuple[float, float]
) -> Estimate:
    if each.bounds is None:
        return Estimate(length, "tokens", exact=True)
    ends = [
        crossing(a, b, *within) for a, b in ((first.low, second.high), (first.high, second.low))
    ]
    bounds = sorted(end for end in ends if end is not None)
    if len(bounds) < 2:
        reason = "within their intervals they may as well not cross in the measured range"
        return Estimate(length, "tokens", reason=reason)
    return Estimate(length, "tokens", bounds[0], bounds[-1])


def _none(first: _Curve, second: _Curve, low: float, high: float) -> Estimate:
    """No crossover where it was measured; which one is cheaper there, and by how much."""
    where = f"no crossover between {low:.0f} and {high:.0f} tokens"
    cheaper = _cheaper(first, second, high)
    if not cheaper:
        return Estimate.missing("tokens", f"{where}: both cost the same", exact=True)
    costs = [_at(curve, high) for curve in (first, second)]
    times = max(costs) / min(costs)
    because = f"{where}: {cheaper} is cheaper, {times:.3g} times at {high:.0f}"
    return Estimate.missing("tokens", because, exact=True)


def _cheaper(first: _Curve, second: _Curve, length: float) -> str:
    """Which model costs less there; none if they cost the same."""
    a, b = _at(first, length), _at(second, length)
    if np.isclose(a, b):
        return ""
    return first.model if a < b else second.model


def _at(curve: _Curve, length: float) -> float:
    return float(cost(curve.middle, np.array([length]))[0])
