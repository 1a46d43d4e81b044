"""What the page says of several models together."""

from __future__ import annotations

from dataclasses import dataclass

from seqprobe.diagnosis.advice import headline
from seqprobe.diagnosis.highlights import changed_status, clearest
from seqprobe.records import Difference
from seqprobe.report import Comparison
from seqprobe_reports.subjects import Subject


@dataclass(frozen=True)
class Differences:
    """Those of all models from the baseline, by check, metric and model."""

    all: tuple[Difference, ...]

    def of(self, check: str, metric: str, subject: Subject) -> Difference | None:
        """One difference; None of the baseline itself, or where nothing is known."""
        asked = (check, metric, subject.name)
        each = (d for d in self.all if (d.check, d.metric, d.models[1]) == asked)
        return next(each, None)

    @property
    def baseline(self) -> str:
        """The model that they are differences from; empty without any."""
        return self.all[0].models[0] if self.all else ""

    @property
    def tested(self) -> int:
        """Those that were sampled, and might have come about by chance."""
        return sum(each.chance is not None for each in self.all)

    @property
    def clear(self) -> int:
        """Those of them that did not."""
        return sum(each.clear for each in self.all if each.chance is not None)


def compared(comparison: Comparison) -> dict[str, object]:
    """For the templates; of a training its first and its last checkpoint."""
    return {
        "differences": Differences(comparison.differences),
        "changed": changed_status(Comparison(comparison.ends)),
        "clearest": clearest(comparison.differences),
        "advice": comparison.advice,
        "headline": headline(comparison.advice),
        "unpaired": comparison.caution,
        "crossovers": comparison.crossovers,
    }
