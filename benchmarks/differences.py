"""How often intervals of differences hold the truth, and what pairing gains.

    python benchmarks/differences.py > docs/differences.md

Two models read the same sequences. How hard a sequence is moves both of them; the rest is each
one's own. The truth is that of infinitely many sequences.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from seqprobe.contracts import Estimate, Null
from seqprobe.estimators.decay import first_crossings
from seqprobe.estimators.differences import clear, contrast
from seqprobe.estimators.enough import enough
from seqprobe.estimators.spread import distance_of
from seqprobe.probes.evidence.over_sequences import estimated

TRIALS, SHARED, POINTS, TESTED = 400, 0.8, 40, 50
COUNTS = (8, 32, 128)
GRID = np.array([1.0, 2, 4, 8, 16, 32])

Rows = np.ndarray
Draw = Callable[[np.random.Generator, Rows], Rows]


@dataclass(frozen=True)
class Case:
    """A number read off mean curves: `draw` makes one model's rows of how hard sequences are."""

    name: str
    draws: tuple[Draw, Draw]
    statistic: Callable[[Rows], Rows]
    truth: float


def mixed(rng: np.random.Generator, hard: Rows) -> Rows:
    """Standard normal numbers that are partly how hard the sequences are."""
    own = rng.standard_normal(len(hard))
    return math.sqrt(SHARED) * hard + math.sqrt(1 - SHARED) * own


def skewed(mean: float) -> Draw:
    """Losses with a long tail."""
    return lambda rng, hard: mean * np.exp(mixed(rng, hard) - 0.5)[:, None]


def fading(half_life: float) -> Draw:
    """Logarithms of curves that halve, each sequence at its own pace."""
    distance = np.arange(POINTS)

    def draw(rng: np.random.Generator, hard: Rows) -> Rows:
        pace = 1 + 0.3 * mixed(rng, hard)
        noise = 0.2 * rng.standard_normal((len(hard), POINTS))
        noise[:, 0] = 0.0
        return -math.log(2) / half_life * pace[:, None] * distance + noise

    return draw


def costs(length: float) -> Draw:
    """What the loss has too much when only so many tokens are read."""
    return lambda rng, hard: np.exp(-GRID / length + mixed(rng, hard)[:, None] - 0.5)


def spread(length: float) -> Draw:
    """How far back influence comes from."""
    distance = np.arange(POINTS)

    def draw(rng: np.random.Generator, hard: Rows) -> Rows:
        return np.exp(-distance / (length * np.exp(0.3 * mixed(rng, hard)[:, None])))

    return draw


def median_of(length: float) -> float:
    """Of the mean over all sequences, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    curves = np.exp(-np.arange(POINTS) / (length * np.exp(0.3 * nodes[:, None])))
    return float(middle((weights @ curves)[None])[0])


def middle(curves: Rows) -> Rows:
    """Within which distance half of the influence comes."""
    return distance_of(curves, 0.5)


def half_lives(curves: Rows) -> Rows:
    """Where a mean logarithm has fallen by ln 2."""
    return first_crossings(curves, -math.log(2))


def lengths(curves: Rows) -> Rows:
    """From how many tokens on little is lost."""
    return enough(curves, GRID, 0.1)


def first(curves: Rows) -> Rows:
    """The only number of each row."""
    return curves[:, 0]


CASES = (
    Case("mean with a long tail", (skewed(1.0), skewed(1.2)), first, 0.2),
    Case("half-life", (fading(6.0), fading(8.0)), half_lives, 2.0),
    Case("length on a grid", (costs(3.0), costs(6.0)), lengths, 8.0),
    Case("length on a grid, one near an edge", (costs(3.4), costs(6.0)), lengths, 8.0),
    Case("median distance", (spread(5.0), spread(9.0)), middle, median_of(9.0) - median_of(5.0)),
)


def estimates(case: Case, count: int, seed: int) -> tuple[Estimate, Estimate]:
    """Of both models on the same sequences."""
    rng = np.random.default_rng(seed)
    hard = rng.standard_normal(count)
    one, other = (
        estimated(draw(rng, hard), case.statistic, "", Null("nothing", 0.0), seed=0)
        for draw in case.draws
    )
    return one, other


def rated(case: Case, count: int, *, paired: bool) -> tuple[float, float]:
    """How often the interval holds the truth, and how wide it is in the median."""
    held, widths = [], []
    for seed in range(TRIALS):
        found = contrast(*estimates(case, count, seed), same_sequences=paired).estimate
        low = -math.inf if found.low is None else found.low
        high = math.inf if found.high is None else found.high
        held.append(low - 1e-9 <= case.truth <= high + 1e-9)
        widths.append(high - low)
    return float(np.mean(held)), float(np.median(widths))


def alarms(count: int) -> float:
    """How often two models that are equally good differ clearly in any of so many numbers."""
    case, found = Case("", (skewed(1.0), skewed(1.0)), first, 0.0), []
    for trial in range(TRIALS):
        seeds = range(trial * TESTED, (trial + 1) * TESTED)
        drawn = [contrast(*estimates(case, count, s), same_sequences=True) for s in seeds]
        found.append(any(clear([each.chance for each in drawn])))
    return float(np.mean(found))


def main() -> None:
    """Print the tables."""
    print("# Differences between models\n")
    print(f"Over {TRIALS} seeds; {SHARED:.0%} of the variance is how hard a sequence is for both.")
    print("Made by `python benchmarks/differences.py`.\n")
    print("| difference of | sequences | 95 % paired | 95 % unpaired | width, of unpaired |")
    print("|---|---|---|---|---|")
    for case in CASES:
        for count in COUNTS:
            (held, width), (apart, wide) = (rated(case, count, paired=p) for p in (True, False))
            ratio = f"{width / wide:.2f}" if wide else "both 0"
            print(f"| {case.name} | {count} | {held:.3f} | {apart:.3f} | {ratio} |", flush=True)
    print(f"\nTwo equal models, {TESTED} numbers of each: any of them is said to differ clearly\n")
    print("| sequences | should be | is |\n|---|---|---|")
    for count in COUNTS:
        print(f"| {count} | <= 0.05 | {alarms(count):.3f} |", flush=True)


if __name__ == "__main__":
    main()
