"""What is read from seconds and bytes over length: growth, crossovers, ratios, utilisation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from claims.costs import DTYPES, ROUNDS, Way
from claims.kept import Part
from seqprobe.contracts import Estimate, Null
from seqprobe.estimators.bootstrap import number_interval
from seqprobe.estimators.growth import (
    FEWEST,
    exact_exponent,
    exponent,
    exponents,
    resampled_medians,
)
from seqprobe.reference.language_models import Kind

Points = Float64[np.ndarray, " lengths"]
WIDTHS = {name: dtype.itemsize for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Curve:
    """Seconds of every round at every length, of one kind and one way."""

    lengths: Points
    rounds: Float64[np.ndarray, "rounds lengths"]

    @property
    def medians(self) -> Points:
        medians: Points = np.median(self.rounds, axis=0)
        return medians

    @property
    def again(self) -> Float64[np.ndarray, "resamples lengths"]:
        """Medians of rounds drawn again, the same rounds for all curves of one run."""
        return resampled_medians(self.rounds)

    def at(self, lengths: Points) -> "Curve":
        """Only these lengths."""
        kept = np.isin(self.lengths, lengths)
        return Curve(self.lengths[kept], self.rounds[:, kept])


class Costs(NamedTuple):
    """All that was measured under one setting: counts, and the rounds."""

    name: str
    fits: Part
    rounds: list[dict[str, float]]

    def curve(self, kind: Kind, way: Way) -> Curve | None:
        """None where fewer than two lengths were timed."""
        lengths = self.fits["setting"]["lengths"]  # the sentence about 1000 tokens has its own
        timed = [n for k, w, n in self.fits["points"] if (k, w) == (kind, way) and n in lengths]
        return self._curve(kind, way, timed) if len(timed) > 1 else None

    def _curve(self, kind: Kind, way: Way, lengths: list[int]) -> Curve:
        rows = [[turn[f"{kind}/{way}/{n}"] for n in lengths] for turn in self.rounds]
        return Curve(np.array(lengths, dtype=np.float64), np.array(rows))

    @property
    def title(self) -> str:
        return self.name.removeprefix("costs: ")

    @property
    def kinds(self) -> list[Kind]:
        return list(self.fits["shapes"])

    def sentence(self, kind: Kind, few: int, many: int) -> Estimate:
        """The time of a forward over `many` tokens, in that over `few`."""
        if missing := [n for n in (few, many) if [kind, "forward", n] not in self.fits["points"]]:
            return Estimate.missing("times", f"not timed at {missing[0]:,} tokens")
        return times(self._curve(kind, "forward", [few]), self._curve(kind, "forward", [many]))

    def bytes(self, kind: Kind, what: str) -> tuple[Points, Points] | None:
        """Of one count over length; None where it was not to be had at two lengths or more."""
        found = {
            int(name.partition("/")[2]): counts[what]
            for name, counts in self.fits["bytes"].items()
            if name.partition("/")[0] == kind and counts[what] is not None
        }
        if len(found) < 2:
            return None
        lengths = sorted(found)
        return np.array(lengths, dtype=np.float64), np.array([float(found[n]) for n in lengths])


def costs_of(parts: Mapping[str, Part]) -> Iterator[Costs]:
    """Every setting of which all rounds were measured."""
    for name, fits in parts.items():
        setting, found, _ = name.partition(": what fits")
        names = [f"{setting}: round {turn}" for turn in range(ROUNDS)]
        if found and all(each in parts for each in names):
            yield Costs(setting, fits, [parts[each]["seconds"] for each in names])


def growth(curve: Curve, *, each: bool = False) -> Estimate:
    """Exponent of the time per token over the upper half of the lengths; `each`: timed so."""
    lengths = curve.lengths[len(curve.lengths) // 2 :]
    if len(lengths) < FEWEST:
        return Estimate.missing("", f"{len(lengths)} lengths are too few")
    upper = curve.at(lengths)
    tokens = np.ones_like(lengths) if each else lengths
    slope = exponent(lengths, upper.medians / tokens)[0]
    about = number_interval(exponents(lengths, upper.again / tokens), len(curve.rounds))
    null = Null("each token costs the same", 0.0)
    return Estimate.sampled(slope, "", about, n=len(curve.rounds), null=null)


def counted_growth(counted: tuple[Points, Points] | None) -> Estimate:
    """Exponent of bytes over the upper half of the lengths."""
    if counted is None:
        return Estimate.missing("", "not counted at two lengths")
    lengths, values = (each[len(each) // 2 :] for each in counted)
    return exact_exponent(lengths, values, "nothing is kept")


def times(first: Curve, second: Curve) -> Estimate:
    """How many times as long the second takes, at the longest length of each."""
    ratio = float(second.medians[-1] / first.medians[-1])
    about = number_interval(second.again[:, -1] / first.again[:, -1], len(first.rounds))
    null = Null("both take as long", 1.0)
    return Estimate.sampled(ratio, "times", about, n=len(first.rounds), null=null)


class Crossover(NamedTuple):
    """From which length on which of two is cheaper; infinite bounds lie outside what was measured.

    `cheaper`, 0 or 1, is that at the longest length, by a factor of `times`. `start` is -inf where
    it is cheaper at all lengths.
    """

    cheaper: int
    start: float
    low: float
    high: float
    times: float
    shortest: float
    longest: float

    @property
    def sure(self) -> bool:
        """Whether the whole interval agrees on who is cheaper at the longest length."""
        return self.high < np.inf


def crossover(first: Curve, second: Curve) -> Crossover | None:
    """By interpolating logarithms over shared lengths; intervals are from rounds drawn again."""
    shared = np.intersect1d(first.lengths, second.lengths)
    if len(shared) < 2:
        return None
    first, second = first.at(shared), second.at(shared)
    ratio = np.log(first.medians / second.medians)
    cheaper = int(ratio[-1] > 0)
    sign = 1 - 2 * cheaper  # positive where the one that wins in the end costs more
    starts = [starting(shared, sign * each) for each in np.log(first.again / second.again)]
    about = number_interval(np.array(starts), len(first.rounds))
    low, high = (about.low, about.high) if about else (-np.inf, np.inf)
    start, times = starting(shared, sign * ratio), float(np.exp(abs(ratio[-1])))
    return Crossover(cheaper, start, low, high, times, shared[0], shared[-1])


def starting(lengths: Points, above: Points) -> float:
    """The length from which on a curve stays below zero.

    It is -inf for one that always is, and inf for one that is not at the last length.

    >>> starting(np.array([1.0, 4.0, 16.0]), np.array([2.0, 1.0, -1.0]))
    8.0
    """
    if above[-1] >= 0:
        return np.inf
    over = np.flatnonzero(above >= 0)
    if not len(over):
        return -np.inf
    last = over[-1]
    a, b = above[last : last + 2]
    low, high = np.log(lengths[last : last + 2])
    return float(np.exp(low + (high - low) * a / (a - b)))


class Share(NamedTuple):
    """Of what a large matrix product and a large copy reach on the device; None where untold."""

    length: int
    flops: float | None
    bytes: float | None


def utilisation(costs: Costs, kind: Kind) -> list[Share]:
    """Of forwards, by length."""
    curve = costs.curve(kind, "forward")
    if curve is None:
        return []
    setting, done = costs.fits["setting"], costs.fits["work"][kind]
    wide = {"flops": 1.0, "touched": WIDTHS[setting["precision"]] / WIDTHS["float32"]}

    def share(what: str, ceiling: float, length: int, seconds: float) -> float | None:
        if done[what] is None:
            return None
        amount: float = done[what][setting["lengths"].index(length)] * setting["batch"]
        return amount * wide[what] / seconds / ceiling

    flops, moved = costs.fits["ceilings"]
    return [
        Share(n, share("flops", flops, n, seconds), share("touched", moved, n, seconds))
        for n, seconds in zip(curve.lengths.astype(int).tolist(), curve.medians, strict=True)
    ]
