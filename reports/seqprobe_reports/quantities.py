"""What the reach profile shows: four quantities that other tools mix up, and the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqprobe.contracts import Estimate
from seqprobe_reports import numbers
from seqprobe_reports.subjects import Subject


@dataclass(frozen=True)
class Quantity:
    """One answer to how far back, and the metric that gives it."""

    name: str
    meaning: str
    check: str
    metric: str

    def of(self, subject: Subject) -> Estimate | None:
        """How far, for one model."""
        return subject.metric(self.check, self.metric)


QUANTITIES = (
    Quantity("reach", "could an input change the output at all", "path-length", "reach"),
    Quantity("sensitivity", "does a gradient still arrive", "gradient-decay", "horizon"),
    Quantity("use", "does the output really change with it", "position", "horizon"),
    Quantity("storage", "can it be read back from the state", "bottleneck", "horizon"),
    Quantity("window", "how much input it takes at all", "window", "hard_limit"),
)


def profile(subjects: Sequence[Subject]) -> str:
    """The reach profile as a sentence per model."""
    return " ".join(
        f"{subject.name}: {', '.join(f'{q.name} {_words(q.of(subject))}' for q in QUANTITIES)}."
        for subject in subjects
    )


def _words(found: Estimate | None) -> str:
    return numbers.estimate(found) if found else "not measured"
