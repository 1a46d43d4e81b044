"""What is shown of a check while a model trains: its title, and the numbers that tell most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST = 4


@dataclass(frozen=True)
class Chapter:
    """One check over the steps of a training; `leads` are drawn, all others stand in the table."""

    check: str
    title: str
    question: str = ""
    leads: tuple[str, ...] = ()

    def drawn(self, metrics: Sequence[str]) -> list[str]:
        """The names to draw, of those that there are."""
        return [name for name in self.leads if name in metrics] or list(metrics[:MOST])


_OVER_DISTANCE = ("horizon", "half_life", "at_distance")
CHAPTERS = (
    Chapter("gradient-decay", "Gradient over distance",
            "How far back does a gradient reach?", _OVER_DISTANCE),
    Chapter("gradient-draw", "Gradient over distance, drawn",
            "How far back does a gradient reach, roughly?", _OVER_DISTANCE),
    Chapter("loss-gradient", "Gradient of the loss in the loop",
            "What arrives at the inputs in the training's own backward?",
            ("norm", "early_ratio", "not_finite")),
    Chapter("jacobian-spectrum", "Spectrum of the Jacobian",
            "Does the recurrence forget or explode?", ("lyapunov_max", "effective_rank")),
    Chapter("bottleneck", "Storage",
            "What can be read back from the state?", ("horizon", "total_bits", "bits_at_distance")),
    Chapter("capacity", "Capacity", "How much does the state carry?", ("bits",)),
    Chapter("position", "Use of single inputs",
            "How far back does one input still move the prediction?", ("horizon", "at_distance")),
    Chapter("context", "Use of context",
            "How much of the past does the loss need?", ("effective_length", "bits_from_context")),
    Chapter("order", "Use of order", "Does the order of the past matter?", ("span",)),
    Chapter("locality", "Locality", "From how far back does influence come?",
            ("mean_distance", "mass90")),
    Chapter("states", "States and gates",
            "Do states grow along the sequence, and do gates still move?",
            ("norm_growth", "gate_time_constant", "saturated_gates")),
    Chapter("heads", "Attention heads", "Where do heads look?",
            ("mean_entropy_ratio", "lowest_entropy_ratio", "mean_distance", "sink_rate")),
    Chapter("attention", "Attention", "Where do heads look?",
            ("mean_entropy_ratio", "induction_score", "sink_rate")),
    Chapter("weights", "Recurrent weights", "", ("spectral_radius", "forget_bias")),
)  # fmt: skip


def chapters(checks: Sequence[str]) -> list[Chapter]:
    """Of these checks; the ones that nothing is known about come last, under their ids."""
    known = [chapter for chapter in CHAPTERS if chapter.check in checks]
    others = sorted({*checks} - {chapter.check for chapter in known})
    return [*known, *(Chapter(check, check) for check in others)]
