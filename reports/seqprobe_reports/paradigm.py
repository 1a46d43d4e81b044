"""The classic comparison of recurrence and attention, each row with what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqprobe.contracts import Estimate
from seqprobe_reports.subjects import Subject


@dataclass(frozen=True)
class Row:
    """A claim, what textbooks expect of each family, and the metrics that test it."""

    claim: str
    recurrent: str
    attention: str
    metrics: tuple[str, ...] = ()

    def measured(self, subjects: Sequence[Subject]) -> list[tuple[str, list[Estimate | None]]]:
        """Each metric that some model has, with its estimate per model."""
        found = [(name, [s.metric(*name.split(".")) for s in subjects]) for name in self.metrics]
        return [(name, estimates) for name, estimates in found if any(estimates)]

    def missing(self, subjects: Sequence[Subject]) -> list[str]:
        """The metrics that no model has yet."""
        known = {name for name, _ in self.measured(subjects)}
        return [name for name in self.metrics if name not in known]


ROWS = (
    Row(
        "Sequential operations",
        "O(n): each step waits for the one before",
        "O(1): all positions at once",
        ("sequential-depth.exponent", "throughput.exponent"),
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
    ),
    Row(
        "Memory",
        "O(1) per step: a state of fixed size",
        "O(n²) in training; a cache that grows with n",
        ("memory.state_bytes", "memory.cache_bytes_per_token", "memory.training_exponent"),
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
            "gradient-decay.half_life",
            "gradient-decay.half_life_untrained",
        ),
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
    ),
    Row(
        "Query-key-value routing",
        "none: the past arrives already mixed",
        "each position chooses where to look",
        ("attention.mean_entropy_ratio", "attention.sink_rate", "attention.induction_score"),
    ),
    Row(
        "Position matters",
        "order comes with the recurrence",
        "order must be given by position codes",
        ("position.horizon", "position.at_distance", "position.middle_sag", "order.span"),
    ),
    Row(
        "The context window is a hard limit",
        "no hard limit; memory fades",
        "nothing beyond the window",
        ("window.hard_limit", "window.extrapolation_ratio", "context.effective_length"),
    ),
    Row(
        "No state carries between calls",
        "a state can be carried over",
        "each call starts empty, unless a cache is kept",
        ("carry-over.equivalence_error", "carry-over.gain_bits"),
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
