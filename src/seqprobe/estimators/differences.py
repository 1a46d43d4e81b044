"""How much two estimates differ, and how sure that is, also when they come from one sample.

An estimate moves with every sequence that it was read off, by its influence. Two estimates from the
same sequences move together, and their difference moves by the difference of the influences: often
far less than either.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import special

from seqprobe.results import Estimate, Null

LEVEL = 0.95
ROUNDING, SMOOTH = 1e-9, 0.8
BOUNDS = "both are lower bounds: it is a difference of what was found, not of what is there"
NULL = Null("no difference", 0.0)


@dataclass(frozen=True)
class Contrast:
    """Other minus one, in the unit of both.

    `paired`: the influences of the same sequences were subtracted. `chance`: of a difference at
    least as large if there were none, two-sided; None where it is exact or not known.
    """

    estimate: Estimate
    paired: bool = False
    chance: float | None = None


def contrast(one: Estimate, other: Estimate, *, same_sequences: bool) -> Contrast:
    """Of exact values exact, of sampled ones with an interval, of bounds a bound."""
    first, second = _Ends.of(one), _Ends.of(other)
    if first is None or second is None or (one.unit, one.level) != (other.unit, other.level):
        return Contrast(Estimate.missing(one.unit, _why_not(one, other)))
    same = math.isclose(second.middle, first.middle, rel_tol=ROUNDING)
    apart, n = 0.0 if same else second.middle - first.middle, _fewest(one, other)
    spread = _spread_together(one, other) if same_sequences else None
    if spread is None:
        sides, half = second.unpaired(first), math.hypot(first.widest, second.widest)
    else:
        half = spread * _quantile(n)
        sides = half, half
    found = _estimate(one, other, apart, sides, n)
    if found.exact or not (first.sure and second.sure):
        return Contrast(found)
    return Contrast(found, spread is not None, _chance(found, abs(apart), half, n))


def clear(chances: Sequence[float | None]) -> list[bool]:
    """Which differences are there, all of them at once with probability 0.95; None never is.

    A simple sequentially rejective multiple test procedure (Holm, 1979).
    """
    tested = sorted((chance, at) for at, chance in enumerate(chances) if chance is not None)
    found = [False] * len(chances)
    for rank, (chance, at) in enumerate(tested):
        if chance > (1 - LEVEL) / (len(tested) - rank):
            break
        found[at] = True
    return found


@dataclass(frozen=True)
class _Ends:
    """An estimate and its interval; a bound is an interval that begins where it is.

    `sure`: how far it reaches is known at any level. Of a bound it is where the bound is exact, or
    where all sequences drawn again say the same.
    """

    low: float
    middle: float
    high: float
    sure: bool = True
    bound: bool = False

    @classmethod
    def of(cls, found: Estimate) -> "_Ends | None":
        """None where nothing is known."""
        value, low, high = found.value, found.low, found.high
        if value is not None:
            free = 0.0 if found.exact and low is None and high is None else math.inf
            least = value - free if low is None else min(low, value)
            most = value + free if high is None else max(high, value)
            return cls(least, value, most)
        sure = found.exact or found.spread == 0
        if low is not None and high is None:
            return cls(low, low, math.inf, sure, bound=True)
        if high is not None and low is None:
            return cls(-math.inf, high, high, sure, bound=True)
        return None

    @property
    def widest(self) -> float:
        """The longer side, since a short one may be that of a number which jumps."""
        sides = (self.middle - self.low, self.high - self.middle)
        return min(sides) if self.bound else max(sides)

    def unpaired(self, other: "_Ends") -> tuple[float, float]:
        """How far the interval of the difference from another one goes down and up.

        Construction of confidence limits about effect measures (Zou and Donner, 2008).
        """
        down = math.hypot(self.middle - self.low, other.high - other.middle)
        up = math.hypot(self.high - self.middle, other.middle - other.low)
        return down, up


def _estimate(
    one: Estimate, other: Estimate, apart: float, sides: tuple[float, float], n: int
) -> Estimate:
    low, high = (_finite(apart + side) for side in (-sides[0], sides[1]))
    exact = one.exact and other.exact
    bound = next((each.reason for each in (other, one) if each.value is None), "")
    if bound:
        return Estimate.missing(one.unit, bound, low=low, high=high, n=n, null=NULL, exact=exact)
    if exact and low == high:
        return Estimate(apart, one.unit, exact=True)
    reason = BOUNDS if one.lower_bound and other.lower_bound else ""
    if low is None and high is None:
        reason = "one of them has no interval"
    return Estimate(apart, one.unit, low, high, n=n, null=NULL, reason=reason)


def _spread_together(one: Estimate, other: Estimate) -> float | None:
    """The standard error of the difference; None where the influences do not tell it.

    What they leave over of either spread is taken to be its own. Where that is much, a number
    jumps, as one that is counted on a grid does, and percentiles describe it better.
    """
    n, most = _fewest(one, other), max(one.n, other.n)
    first, second = _moves(one, most), _moves(other, most)
    if first is None or second is None:
        return None
    squares = float(np.square(second - first).sum())
    for found, moves in ((one, first), (other, second)):
        squares += max((found.spread or 0.0) ** 2 - float(moves @ moves), 0.0)
    return math.sqrt(squares * n / (n - 1))


def _moves(found: Estimate, sequences: int) -> Float64[np.ndarray, " sequences"] | None:
    """How far one more of each sequence moves an estimate; None where it jumps instead.

    What was not read does not move it.
    """
    if found.value is None or found.spread is None or found.n < 2:
        return None
    if found.spread == 0:
        return np.zeros(sequences)
    moves = np.array(found.influence) / found.n
    if len(moves) != found.n or float(moves @ moves) < SMOOTH * found.spread**2:
        return None
    return np.pad(moves, (0, sequences - found.n))


def _chance(found: Estimate, apart: float, half: float, n: int) -> float:
    """Two-sided, from how many of its half intervals a difference is away from zero."""
    if found.value is None and (found.low or 0.0) <= 0 <= (found.high or 0.0):
        return 1.0
    if half == 0:
        return float(apart == 0)
    return 2 * float(special.stdtr(max(n - 1, 1), -apart / half * _quantile(n)))


def _quantile(n: int) -> float:
    """Of Student's t: how many standard errors the half of an interval has."""
    return float(special.stdtrit(max(n - 1, 1), (1 + LEVEL) / 2))


def _fewest(one: Estimate, other: Estimate) -> int:
    """Sequences behind that one of two estimates which has fewer; exact ones need none."""
    return min((each.n for each in (one, other) if each.n), default=0)


def _why_not(one: Estimate, other: Estimate) -> str:
    said = next((each.reason for each in (one, other) if each.value is None), "")
    return said or "they are in different units, or their intervals of different levels"


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
