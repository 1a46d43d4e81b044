"""Figures: one file per check, found by the check's id; a check without one has its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seqprobe_reports.figures import (
    bottleneck,
    gradient_decay,
    jacobian_spectrum,
    path_length,
    position,
)
from seqprobe_reports.subjects import Subject

FIGURES: dict[str, Callable[[Sequence[Subject]], str]] = {
    "bottleneck": bottleneck.draw,
    "gradient-decay": gradient_decay.draw,
    "jacobian-spectrum": jacobian_spectrum.draw,
    "path-length": path_length.draw,
    "position": position.draw,
}


def draw(check: str, subjects: Sequence[Subject]) -> str:
    """Inline SVG of a check for all models, or nothing where there is nothing to draw."""
    return FIGURES[check](subjects) if check in FIGURES else ""
