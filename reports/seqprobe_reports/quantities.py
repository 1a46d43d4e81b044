"""The four quantities of the reach profile, which other tools mix up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqprobe.contracts import Estimate
from seqprobe_reports import numbers
from seqprobe_reports.subjects import Subject


@dataclass(frozen=True)
class Quantity:
    """One way in which a distant input may matter, and the metric that says how far."""

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
)


def profile(subjects: Sequence[Subject]) -> str:
    """The reach profile as a sentence per model."""
    return " ".join(
        f"{subject.name}: {', '.join(f'{q.name} {_words(q.of(subject))}' for q in QUANTITIES)}."
        for subject in subjects
    )


def _words(found: Estimate | None) -> str:
    return numbers.estimate(found) if found else "not measured"
