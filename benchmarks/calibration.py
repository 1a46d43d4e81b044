"""How often intervals hold the truth, and how often a null model raises an alarm.

    python benchmarks/calibration.py > docs/calibration.md
    python benchmarks/calibration.py storage

The truth of gradients is taken on many more sequences, with exact norms where the trials use
random projections; that of use is the same measurement on many more sequences; that of storage is
the closed form, which a lower bound may not exceed. Words choose parts: `intervals`, `storage`.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

import seqprobe
from seqprobe import Estimate, Report
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

TRIALS, SEQUENCES, MANY, STORED = 200, 32, 2000, 50
LENGTH, DISTANCE, WIDTH = 32, 5, 4
COVERED = (
    "gradient-decay.half_life",
    "gradient-decay.at_distance",
    "gradient-decay.rate",
    "position.at_distance",
)


def measured(
    model: seqprobe.SequenceModel, seed: int, limit: int, *probes: str, exact: bool = False
) -> Report:
    """One report from its own sequences."""
    return seqprobe.analyze(
        model, data="synthetic:iid", length=LENGTH, distance=DISTANCE,
        probes=probes, seed=seed, limit=limit, exact=exact,
    )  # fmt: skip


def metric(report: Report, name: str) -> Estimate:
    """A metric by its full name."""
    check, _, short = name.partition(".")
    return report[check].metrics[short]


def holds(estimate: Estimate, truth: Estimate) -> bool:
    """Whether the interval of one holds the value of the other."""
    low, high, value = estimate.low, estimate.high, truth.value
    return low is not None and high is not None and value is not None and low <= value <= high


def coverage(model: seqprobe.SequenceModel) -> dict[str, float]:
    """In which share of trials the 95 % interval holds the value on many sequences."""
    probes = ("gradient-decay", "position")
    many = measured(model, 10**6, MANY, *probes, exact=True)
    held = dict.fromkeys(COVERED, 0)
    for seed in range(TRIALS):
        report = measured(model, seed, SEQUENCES, *probes)
        for name in COVERED:
            held[name] += holds(metric(report, name), metric(many, name))
    return {name: count / TRIALS for name, count in held.items()}


@dataclass(frozen=True)
class Stored:
    """A model, and how many bits it keeps about each of the past symbols."""

    name: str
    model: seqprobe.SequenceModel
    bits: Callable[[int], float]
    length: int = LENGTH

    def heads(self) -> Iterator[tuple[int, float, float]]:
        """Distance, lower limit and null band of every distance, over the seeds."""
        for seed in range(STORED):
            report = seqprobe.analyze(
                self.model,
                data=None if self.model.features else "synthetic:iid",
                probes=("bottleneck",),
                length=self.length,
                distance=DISTANCE,
                seed=seed,
                limit=2 * SEQUENCES,
            )
            table = report.table("bottleneck")
            names = ("distance", "site", "low", "null_high")
            distance, site, low, band = (table.column(name) for name in names)
            for k, where, least, most in zip(distance, site, low, band, strict=True):
                if where == site[0]:
                    yield k, least, max(most, 0.0)

    def above(self) -> float:
        """The share of lower limits that lie above the truth."""
        return float(np.mean([low > self.bits(k) for k, low, _ in self.heads()]))

    def raised(self) -> float:
        """The share of distances with nothing to find at which something is said to be held."""
        each = [low > band for k, low, band in self.heads() if self.bits(k) == 0]
        return float(np.mean(each))


def stored() -> tuple[Stored, ...]:
    """Models with a closed form for every distance."""
    leaky = [
        Stored(f"leaky integrator {a:g}", zoo.leaky(a, WIDTH), partial(leaky_bits, a), 64)
        for a in (0.5, 0.8)
    ]
    return (
        Stored("shift register 5", zoo.shift_register(5), lambda k: 3.0 * (k < 5)),
        Stored(
            "random replacement 0.3",
            zoo.random_replacement(0.3),
            partial(zoo.random_replacement_bits, 0.3, 8),
        ),
        Stored("memoryless", zoo.memoryless(), lambda k: 3.0 * (k == 0)),
        *leaky,
    )


def leaky_bits(a: float, k: int) -> float:
    """Of all features of a leaky integrator that has forgotten where it started."""
    return -0.5 * WIDTH * math.log2(1 - a ** (2 * k) * (1 - a**2))


def carried(model: seqprobe.SequenceModel, truth: float) -> float:
    """In which share of trials the lower limit of `capacity` lies above the truth."""
    found = [
        metric(measured(model, seed, 2 * SEQUENCES, "capacity"), "capacity.bits").low or 0.0
        for seed in range(STORED)
    ]
    return float(np.mean(np.array(found) > truth))


def intervals() -> None:
    """Rows of the intervals of a recurrent model."""
    lstm = seqprobe.SequenceModel(build("lstm", vocab_size=8, width=16, layers=1))
    for name, share in coverage(lstm).items():
        print(f"| 95 % interval of `{name}` holds the truth | 0.95 | {share:.3f} |", flush=True)


def storage() -> None:
    """Rows of the bits that are kept."""
    models = stored()
    for each in models:
        words = f"lower limits of `bottleneck` above the closed form, {each.name}"
        print(f"| {words} | <= 0.025 | {each.above():.3f} |", flush=True)
    for each in (models[0], models[2]):
        words = f"distances with nothing to find beyond the null band, {each.name}"
        print(f"| {words} | <= 0.05 | {each.raised():.3f} |", flush=True)
    for name, model, truth in (
        ("shift register 5", zoo.shift_register(5), 15.0),
        ("memoryless", zoo.memoryless(), 3.0),
        ("random replacement 0.3, eight states", zoo.random_replacement(0.3), 3.0),
    ):
        words = f"lower limit of `capacity` above {truth:g} bits, {name}"
        print(f"| {words} | <= 0.025 | {carried(model, truth):.3f} |", flush=True)


PARTS: dict[str, Callable[[], None]] = {"intervals": intervals, "storage": storage}


def main(words: list[str]) -> None:
    """Print the table, or the rows of the parts that are named."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # small operators are faster so
    print("# Calibration\n")
    print(f"Over {TRIALS} seeds with {SEQUENCES} sequences each; storage over {STORED} seeds with")
    print(f"{2 * SEQUENCES} sequences each, all distances.")
    print("Made by `python benchmarks/calibration.py`.\n")
    print("| what | should be | is |\n|---|---|---|")
    for name in words or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
