"""Figures: one file per check, found by the check's id; a check without one has its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from seqprobe.errors import UsageError
from seqprobe.report import Comparison, Report
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
    reach_profile,
    sequential_depth,
    throughput,
    window,
)
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.subjects import Subject, on_view

PROFILE = "reach-profile"

FIGURES: dict[str, Callable[[Sequence[Subject]], Drawing | None]] = {
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


def draw(check: str, shown: Sequence[Subject]) -> str:
    """Inline SVG of a check for all models, or nothing where there is nothing to draw."""
    drawing = FIGURES[check](shown) if check in FIGURES else None
    return drawing.svg() if drawing else ""


def figure(name: str, what: Comparison | Sequence[Report]) -> Figure:
    """The figure of a check, or the reach profile, for a paper.

    Of checkpoints of one training the first and the last one are drawn.

    Raises:
        UsageError: there is no such figure.
    """
    shown = on_view(what)
    known = {PROFILE: reach_profile.draw, **FIGURES}
    drawing = known[name](shown) if name in known else None
    if drawing is None:
        raise UsageError(
            f"no figure {name!r} of {', '.join(subject.name for subject in shown)}",
            expected="one of " + ", ".join(id for id, draws in known.items() if draws(shown)),
            do="Choose one of these; other checks have tables.",
        )
    return drawing.printed()
