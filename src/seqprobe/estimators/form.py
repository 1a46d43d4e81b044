"""In which form a model was executed, from exact depths at lengths that double.

A recurrence adds the same to the longest chain of operators for each token, a parallel scan for
each doubling of the length; a convolution or attention adds nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

Name = Literal["all at once", "as a scan", "step by step", "in chunks", "by steps and a scan"]
FEWEST, FEWEST_MIXED = 3, 4
MISSING = Fraction(1, 100)


@dataclass(frozen=True)
class Form:
    """Operators that each token and each doubling add to the depth, from `start` tokens on.

    Not `exact` where a few steps are missing, such as those behind a gate that is shut.
    """

    per_token: Fraction
    per_doubling: Fraction
    start: int
    exact: bool = True

    @property
    def name(self) -> Name:
        """Less than an operator for each token: several tokens share their steps."""
        if self.per_token and self.per_doubling:
            return "by steps and a scan"
        if self.per_doubling:
            return "as a scan"
        if not self.per_token:
            return "all at once"
        return "step by step" if self.per_token >= 1 else "in chunks"


def form_of(lengths: Sequence[int], depths: Sequence[int]) -> Form | None:
    """The law that all rises follow exactly, or all from some length on.

    At least three rises for a law with one number, four for one with two: the first few chunks may
    rise like a scan, or like steps. Steps may be missing, up to one in a hundred. None where there
    is no law: none is fitted.
    """
    tokens, rises = ([b - a for a, b in pairwise(values)] for values in (lengths, depths))
    for law, fewest in ((_pure, FEWEST), (_mixed, FEWEST_MIXED)):
        for first in range(len(rises) - fewest + 1):
            for per_token, per_doubling in law(tokens[first:], rises[first:]):
                told = [per_token * more + per_doubling for more in tokens[first:]]
                if told == rises[first:]:
                    return Form(per_token, per_doubling, lengths[first])
    return _with_gaps(lengths, tokens, rises)


def _with_gaps(lengths: Sequence[int], tokens: Sequence[int], rises: Sequence[int]) -> Form | None:
    """Step by step, as the first rise has it, but for a few steps."""
    each = Fraction(rises[0], tokens[0])
    if len(rises) < FEWEST or each < 1:
        return None
    missing = [1 - rise / (each * more) for more, rise in zip(tokens, rises, strict=True)]
    few = all(0 <= part <= MISSING for part in missing)
    return Form(each, Fraction(0), lengths[0], exact=False) if few else None


Pairs = Iterator[tuple[Fraction, Fraction]]


def _pure(tokens: Sequence[int], rises: Sequence[int]) -> Pairs:
    """Growth by tokens alone, or by doublings alone."""
    if rises[0] >= 0:
        yield Fraction(0), Fraction(rises[0])
        yield Fraction(rises[0], tokens[0]), Fraction(0)


def _mixed(tokens: Sequence[int], rises: Sequence[int]) -> Pairs:
    """By both, as the first and the last rise have it."""
    per_token = Fraction(rises[-1] - rises[0], tokens[-1] - tokens[0])
    per_doubling = rises[0] - per_token * tokens[0]
    if per_token > 0 and per_doubling > 0:
        yield per_token, per_doubling
