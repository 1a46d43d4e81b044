"""How often intervals hold the truth, and how often a null model raises an alarm.

    python benchmarks/calibration.py > docs/calibration.md

The truth of gradients is taken on many more sequences, with exact norms where the trials use
random projections; that of use is the same measurement on many more sequences; that of storage is
the closed form, which a lower bound may not exceed.
"""

import torch

import seqprobe
from seqprobe import Estimate, Report
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

TRIALS, SEQUENCES, MANY = 200, 32, 2000
LENGTH, DISTANCE = 32, 5
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


def above(model: seqprobe.SequenceModel, truth: float | None) -> float:
    """In which share of trials the lower limit of the bits lies above the truth.

    Without a truth there is nothing to find, and the null band must not be left.
    """
    count = 0
    for seed in range(TRIALS):
        found = metric(
            measured(model, seed, 2 * SEQUENCES, "bottleneck"), "bottleneck.bits_at_distance"
        )
        band = max(found.null.high or 0.0, 0.0) if found.null else 0.0
        limit = band if truth is None else truth
        count += found.low is not None and found.low > limit
    return count / TRIALS


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # small operators are faster so
    lstm = seqprobe.SequenceModel(build("lstm", vocab_size=8, width=16, layers=1))
    print("# Calibration\n")
    print(f"Over {TRIALS} seeds with {SEQUENCES} sequences each (64 for bits).")
    print("Made by `python benchmarks/calibration.py`.\n")
    print("| what | should be | is |\n|---|---|---|")
    for name, share in coverage(lstm).items():
        print(f"| 95 % interval of `{name}` holds the truth | 0.95 | {share:.3f} |", flush=True)
    truth = zoo.random_replacement_bits(0.3, 8, DISTANCE)
    over = above(zoo.random_replacement(0.3), truth)
    print(f"| lower limit of `bottleneck` bits above the closed form | <= 0.025 | {over:.3f} |")
    alarms = above(zoo.memoryless(), None)
    print(f"| memoryless model said to hold the past | <= 0.025 | {alarms:.3f} |")


if __name__ == "__main__":
    main()
