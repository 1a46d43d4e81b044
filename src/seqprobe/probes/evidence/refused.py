"""Lengths that the model refuses, with its own words."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np

from seqprobe.contracts import Attempt, Estimate, Evidence, Series

FURTHER = 4


def works(attempt: Attempt) -> bool:
    """Whether the model took this length."""
    return not (attempt.error or attempt.out_of_memory)


def tried(attempt: Callable[[int], Attempt], length: int) -> list[Attempt]:
    """Lengths up to four times this one: doubled, then halved to the first one that fails.

    If the model takes longer sequences again after one that it refuses, this one may be missed.
    """
    known = {length: Attempt(length)}

    def fails(longer: int) -> bool:
        known[longer] = attempt(longer)
        return not works(known[longer])

    longest = length
    while longest < FURTHER * length and not fails(2 * longest):
        longest *= 2
    if longest < FURTHER * length and known[2 * longest].error:
        bisect_left(range(longest + 1, 2 * longest), True, key=fails)
    return sorted(known.values(), key=lambda one: one.length)


def as_evidence(attempts: Sequence[Attempt]) -> Evidence:
    """One row, which holds for all sequences."""
    return {
        "tried": np.array([[attempt.length for attempt in attempts]]),
        "works": np.array([[works(attempt) for attempt in attempts]]),
        "errors": np.array([[attempt.error for attempt in attempts]]),
    }


def first_refused(evidence: Evidence) -> tuple[Estimate, str]:
    """The first length that fails, and what the model says to it."""
    lengths, took, errors = (evidence[name][0] for name in ("tried", "works", "errors"))
    taken = int(lengths[took].max())
    because = f"no length up to {taken:,} tokens fails"
    if not took.all():
        first = int(took.argmin())
        if errors[first]:
            return Estimate(float(lengths[first]), "tokens", exact=True), str(errors[first])
        because = f"memory runs out at {int(lengths[first]):,} tokens, which tells nothing"
    return Estimate.missing("tokens", because, low=float(taken), exact=True), ""


def table(evidence: Evidence) -> Series:
    """All lengths that were tried."""
    lengths, took, errors = (evidence[name][0] for name in ("tried", "works", "errors"))
    columns = {"length": lengths, "works": took, "error": errors}
    return Series.of("window-lengths", columns, {"length": "tokens"})
