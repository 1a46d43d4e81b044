"""What of a comparison is said first: what changed its status, and what differs clearly."""

from collections.abc import Sequence

from seqprobe.contracts import Status
from seqprobe.records import Difference
from seqprobe.report import Comparison

GRAVEST: tuple[Status, ...] = (
    "problem", "attention", "error", "not run", "not applicable", "info", "fine",
)  # fmt: skip
TELLING = (
    "gradient-decay.horizon",
    "position.horizon",
    "bottleneck.horizon",
    "position.at_distance",
    "context.copied_at_distance",
    "window.hard_limit",
    "carry-over.gain_bits",
    "memory.cache_bytes_per_token",
    "throughput.tokens_per_second",
    "throughput.training_tokens_per_second",
    "gradient-decay.at_distance",
    "context.effective_length",
    "context.bits_from_context",
    "bottleneck.total_bits",
    "capacity.bits",
    "jacobian-spectrum.lyapunov_max",
    "path-length.at_distance",
    "sequential-depth.depth",
    "memory.state_bytes",
    "memory.training_bytes",
)
"""How far, what is made of it, what it costs; the numbers behind them last."""


def changed_status(comparison: Comparison) -> list[tuple[str, dict[str, Status]]]:
    """The checks that not all models have the same status of, by model; the gravest first."""
    found: dict[str, dict[str, Status]] = {}
    for name, report in zip(comparison.names, comparison.reports, strict=True):
        for check in report.checks:
            found.setdefault(check.id, {})[name] = check.status
    differing = [(id, each) for id, each in found.items() if len({*each.values()}) > 1]
    return sorted(differing, key=lambda each: min(map(GRAVEST.index, each[1].values())))


def clearest(differences: Sequence[Difference], most: int = 5) -> list[list[Difference]]:
    """The most telling numbers that differ clearly for some model; each for all models."""
    by_metric: dict[str, list[Difference]] = {}
    for each in differences:
        by_metric.setdefault(f"{each.check}.{each.metric}", []).append(each)
    told = [by_metric[name] for name in TELLING if name in by_metric]
    return [each for each in told if any(one.clear for one in each)][:most]
