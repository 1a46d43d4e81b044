"""How many operators wait for one another, and how much work there is, over length."""

from __future__ import annotations

from collections.abc import Sequence

from seqprobe_reports.figures.axes import figure
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.figures.over_length import panel
from seqprobe_reports.subjects import Subject

CHECK = "sequential-depth"


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model: above the longest chain, below the FLOPs."""
    return figure(
        subjects,
        CHECK,
        panel(subjects, CHECK, "depth", "longest chain (operators)"),
        panel(subjects, CHECK, "flops", "work (FLOPs)"),
    )
