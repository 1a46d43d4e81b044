"""The classic comparison of recurrence and attention, each row with what was measured.

Marks say whether a value is what the textbook expects of the model's family. The borders are our
convention: halfway between two laws of growth, or those of the rules in `seqprobe.diagnosis`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seqprobe.contracts import Estimate
from seqprobe.diagnosis.carry_over import SAME
from seqprobe.diagnosis.gradients import STRONG, WEAK
from seqprobe.diagnosis.window import HARMFUL
from seqprobe_reports.expectation import Expectation, Judgement, over, under
from seqprobe_reports.subjects import Subject

FAMILIES = {
    "recurrent": "Attention is all you need (Vaswani et al., 2017)",
    "attention": "Attention is all you need (Vaswani et al., 2017)",
    "state space": "Mamba: Linear-time sequence modeling with selective state spaces "
    "(Gu and Dao, 2023)",
    "convolution": "Attention is all you need (Vaswani et al., 2017)",
}
"""Of which textbooks expect something, and where it is said of sequential operations and paths."""


@dataclass(frozen=True)
class Mark:
    """How a value stands to what was expected of it."""

    judgement: Judgement
    expected: str


@dataclass(frozen=True)
class Row:
    """A claim, what textbooks expect of each family, and the metrics that test it.

    `expected` holds for each metric that can be judged what it should be, by family.
    """

    claim: str
    recurrent: str
    attention: str
    metrics: tuple[str, ...] = ()
    expected: Mapping[str, Mapping[str, Expectation]] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)

    def said(self, subjects: Sequence[Subject]) -> dict[str, str]:
        """What is expected of recurrence and attention, and of the families that are there."""
        there = {subject.report.model.family for subject in subjects}
        others = {family: words for family, words in self.others.items() if family in there}
        return {"recurrent": self.recurrent, "attention": self.attention, **others}

    def mark(self, metric: str, subject: Subject) -> Mark | None:
        """Whether a model's value is as expected; None where there is no value or expectation."""
        found = subject.metric(*metric.split("."))
        expected = self.expected.get(metric, {}).get(subject.report.model.family)
        if found is None or expected is None:
            return None
        distance = subject.report.distance
        return Mark(expected.judged(found, distance), expected.words(distance))

    def measured(self, subjects: Sequence[Subject]) -> list[tuple[str, list[Estimate | None]]]:
        """Each metric that some model has, with its estimate per model."""
        found = [(name, [s.metric(*name.split(".")) for s in subjects]) for name in self.metrics]
        return [(name, estimates) for name, estimates in found if any(estimates)]

    def missing(self, subjects: Sequence[Subject]) -> list[str]:
        """The metrics that no model has, each with why, where the reports say so."""
        known = {name for name, _ in self.measured(subjects)}
        checks: dict[str, list[str]] = {}
        for check, _, name in (metric.partition(".") for metric in self.metrics):
            if f"{check}.{name}" not in known:
                checks.setdefault(check, []).append(name)
        return [
            f"{check} ({', '.join(names)}): {_why_not(check, subjects)}"
            for check, names in checks.items()
        ]


def unexpected(subject: Subject) -> list[str]:
    """The metrics of a model that are not what the textbook expects."""
    marks = {name: row.mark(name, subject) for row in ROWS for name in row.expected}
    return [name for name, mark in marks.items() if mark and mark.judgement == "not as expected"]


def _why_not(check: str, subjects: Sequence[Subject]) -> str:
    found = [known for subject in subjects if (known := subject.check(check)) is not None]
    if not found:
        return "not measured"
    return found[0].headline if not found[0].metrics else "not among its metrics"


ROWS = (
    Row(
        "Sequential operations",
        "O(n): each step waits for the one before",
        "O(1): all positions at once",
        (
            "sequential-depth.exponent",
            "sequential-depth.operators_per_token",
            "sequential-depth.operators_per_doubling",
            "throughput.exponent",
        ),
        {
            "sequential-depth.exponent": {
                "recurrent": over(0.5),
                "attention": under(0.5),
                "state space": under(0.5),
                "convolution": under(0.5),
            }
        },
        {
            "state space": "O(log n) as a parallel scan, O(1) as a convolution; O(n) only where it "
            "is executed step by step",
            "convolution": "O(1): all positions at once",
        },
    ),
    Row(
        "Path length between positions",
        "O(n): one step per position",
        "O(1): any position directly",
        (
            "path-length.at_distance",
            "path-length.operators_at_distance",
            "path-length.exponent",
            "path-length.reach",
        ),
        {"path-length.exponent": {"recurrent": over(0.5), "attention": under(0.5)}},
        {
            "state space": "O(n) step by step, O(log n) as a scan, O(1) as a convolution",
            "convolution": "O(n/k) layers of kernels of k steps, O(log n) where they are dilated",
        },
    ),
    Row(
        "Memory",
        "O(1) per step: a state of fixed size",
        "O(n²) in training; a cache that grows with n",
        ("memory.state_bytes", "memory.cache_bytes_per_token", "memory.training_exponent"),
        {
            "memory.cache_bytes_per_token": {
                "recurrent": under(1),
                "attention": over(0),
                "state space": under(1),
                "convolution": under(1),
            },
            "memory.training_exponent": {
                "recurrent": under(1.5),
                "attention": over(1.5),
                "state space": under(1.5),
                "convolution": under(1.5),
            },
        },
        {
            "state space": "O(1) per step: a state of fixed size, larger than the width",
            "convolution": "O(1) per step: the inputs that a kernel still sees",
        },
    ),
    Row(
        "Locality bias",
        "built in: the near counts more",
        "learned from data",
        (
            "locality.mean_distance",
            "locality.mean_distance_untrained",
            "locality.mass90",
            "gradient-decay.mean_distance",
            "gradient-decay.mean_distance_untrained",
            "gradient-decay.half_life",
            "gradient-decay.half_life_untrained",
        ),
        {
            "gradient-decay.mean_distance_untrained": {
                "recurrent": under(0.1, of_distance=True),
                "attention": over(0.1, of_distance=True),
            }
        },
    ),
    Row(
        "Long-range dependencies",
        "gradients vanish with distance",
        "gradients arrive directly",
        (
            "gradient-decay.horizon",
            "gradient-decay.at_distance",
            "gradient-decay.rate",
            "jacobian-spectrum.lyapunov_max",
        ),
        {"gradient-decay.at_distance": {"recurrent": under(WEAK), "attention": over(STRONG)}},
    ),
    Row(
        "The bottleneck",
        "everything passes through one vector",
        "every position in the window stays available",
        (
            "bottleneck.bits_at_distance",
            "bottleneck.conditional_at_distance_data",
            "bottleneck.total_bits",
            "bottleneck.horizon",
            "bottleneck.bits_per_state_float",
            "jacobian-spectrum.effective_rank",
            "capacity.bits",
            "capacity.bits_per_state_float",
        ),
        {"bottleneck.horizon": {"recurrent": under(1, of_distance=True)}},
    ),
    Row(
        "Query-key-value routing",
        "none: the past arrives already mixed",
        "each position chooses where to look",
        ("attention.mean_entropy_ratio", "attention.sink_rate", "attention.induction_score"),
        {"attention.mean_entropy_ratio": {"attention": under(0.95)}},
    ),
    Row(
        "Position matters",
        "order comes with the recurrence",
        "order must be given by position codes",
        ("position.horizon", "position.at_distance", "position.middle_sag", "order.span"),
        {"order.span": {"recurrent": over(1), "attention": over(1)}},
    ),
    Row(
        "The context window is a hard limit",
        "no hard limit; memory fades",
        "nothing beyond the window",
        ("window.hard_limit", "window.extrapolation_ratio", "context.effective_length"),
        {"window.extrapolation_ratio": {"recurrent": under(HARMFUL), "attention": over(HARMFUL)}},
    ),
    Row(
        "No state carries between calls",
        "a state can be carried over",
        "each call starts empty, unless a cache is kept",
        ("carry-over.equivalence_error", "carry-over.gain_bits"),
        {"carry-over.equivalence_error": {"recurrent": under(SAME)}},
    ),
    Row(
        "Parallel hardware pays",
        "little: steps wait for one another",
        "much, until the square of n dominates",
        ("throughput.tokens_per_second", "throughput.flops_utilisation"),
    ),
    Row(
        "When each applies",
        "streams, small memory, the near past",
        "whole documents, the far past, parallel hardware",
    ),
)
