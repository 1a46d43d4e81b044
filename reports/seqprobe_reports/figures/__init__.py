"""Figures: one file per check, found by the check's id; a check without one has its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seqprobe_reports.figures import (
    attention,
    bottleneck,
    capacity,
    carry_over,
    context,
    gradient_decay,
    jacobian_spectrum,
    locality,
    memory,
    order,
    path_length,
    position,
    sequential_depth,
    throughput,
    window,
)
from seqprobe_reports.subjects import Subject

FIGURES: dict[str, Callable[[Sequence[Subject]], str]] = {
    "attention": attention.draw,
    "bottleneck": bottleneck.draw,
    "capacity": capacity.draw,
    "context": context.draw,
    "carry-over": carry_over.draw,
    "gradient-decay": gradient_decay.draw,
    "jacobian-spectrum": jacobian_spectrum.draw,
    "locality": locality.draw,
    "memory": memory.draw,
    "order": order.draw,
    "path-length": path_length.draw,
    "position": position.draw,
    "sequential-depth": sequential_depth.draw,
    "throughput": throughput.draw,
    "window": window.draw,
}


def draw(check: str, subjects: Sequence[Subject]) -> str:
    """Inline SVG of a check for all models, or nothing where there is nothing to draw."""
    return FIGURES[check](subjects) if check in FIGURES else ""
