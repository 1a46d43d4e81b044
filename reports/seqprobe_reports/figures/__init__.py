"""Figures: one file per check, found by the check's id; a check without one has its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seqprobe_reports.figures import (
    attention,
    bottleneck,
    capacity,
    gradient_decay,
    jacobian_spectrum,
    memory,
    path_length,
    position,
    sequential_depth,
    throughput,
)
from seqprobe_reports.subjects import Subject

FIGURES: dict[str, Callable[[Sequence[Subject]], str]] = {
    "attention": attention.draw,
    "bottleneck": bottleneck.draw,
    "capacity": capacity.draw,
    "gradient-decay": gradient_decay.draw,
    "jacobian-spectrum": jacobian_spectrum.draw,
    "memory": memory.draw,
    "path-length": path_length.draw,
    "position": position.draw,
    "sequential-depth": sequential_depth.draw,
    "throughput": throughput.draw,
}


def draw(check: str, subjects: Sequence[Subject]) -> str:
    """Inline SVG of a check for all models, or nothing where there is nothing to draw."""
    return FIGURES[check](subjects) if check in FIGURES else ""
