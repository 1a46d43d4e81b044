"""What is carried from step to step, and what training keeps, over length."""

from __future__ import annotations

from collections.abc import Sequence

from seqprobe_reports.figures.axes import figure
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.figures.over_length import panel
from seqprobe_reports.subjects import Subject


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model: above what is carried, below what training keeps."""
    return figure(
        subjects,
        "memory",
        panel(subjects, "memory", "carried", "state and cache (bytes)"),
        panel(subjects, "memory", "training", "kept for training (bytes)"),
    )
