"""Whether a measured value is what textbooks lead one to expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqprobe.contracts import Estimate
from seqprobe.diagnosis.case import above, below
from seqprobe_reports import numbers

Judgement = Literal["as expected", "not as expected", "cannot be told"]


@dataclass(frozen=True)
class Expectation:
    """On which side of a border a value should lie; `of_distance`: of the distance asked about."""

    side: Literal["above", "below"]
    border: float
    of_distance: bool = False

    def words(self, distance: int) -> str:
        """What is expected.

        >>> Expectation("below", 0.1, of_distance=True).words(100)
        'below 10'
        """
        return f"{self.side} {numbers.number(self._border(distance))}"

    def judged(self, found: Estimate, distance: int) -> Judgement:
        """By the whole interval: one that holds the border tells nothing.

        >>> Expectation("below", 0.5).judged(Estimate(0.3, "", 0.2, 0.6), 100)
        'cannot be told'
        """
        sides = {"above": above(found, self._border(distance))}
        sides["below"] = below(found, self._border(distance))
        if not any(sides.values()):
            return "cannot be told"
        return "as expected" if sides[self.side] else "not as expected"

    def _border(self, distance: int) -> float:
        return self.border * distance if self.of_distance else self.border


def over(border: float, *, of_distance: bool = False) -> Expectation:
    """A value above the border."""
    return Expectation("above", border, of_distance)


def under(border: float, *, of_distance: bool = False) -> Expectation:
    """A value below the border."""
    return Expectation("below", border, of_distance)
