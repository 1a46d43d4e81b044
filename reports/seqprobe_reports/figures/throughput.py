"""Seconds over length: forward, in training, and for one more step."""

from __future__ import annotations

from collections.abc import Sequence

from seqprobe_reports.figures.axes import figure
from seqprobe_reports.figures.drawing import Drawing
from seqprobe_reports.figures.over_length import panel
from seqprobe_reports.subjects import Subject

NAMES = {
    "forward_seconds": "forward (seconds)",
    "training_seconds": "with backward (seconds)",
    "decoding_seconds": "one more step (seconds)",
}


def draw(subjects: Sequence[Subject]) -> Drawing | None:
    """One curve per model and way."""
    panels = [panel(subjects, "throughput", column, name) for column, name in NAMES.items()]
    return figure(subjects, "throughput", *panels)
