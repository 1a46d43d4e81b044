"""How the numbers of a check went over the steps of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from seqprobe.records import is_baseline
from seqprobe.results import Estimate
from seqprobe_reports.chapters import Chapter
from seqprobe_reports.figures.over_steps import OverSteps, draw

Moment = tuple[int, Mapping[str, Estimate]]


@dataclass(frozen=True)
class Course:
    """One check, and its numbers at each step at which it was measured."""

    chapter: Chapter
    moments: tuple[Moment, ...]

    @property
    def metrics(self) -> list[str]:
        """Names of the numbers, those of baselines left out."""
        names = list(dict.fromkeys(name for _, found in self.moments for name in found))
        return [name for name in names if not is_baseline(name, names)]

    @property
    def leads(self) -> list[str]:
        """Names of the numbers that are drawn."""
        return self.chapter.drawn(self.metrics)

    def curve(self, metric: str) -> OverSteps:
        """One number over the steps."""
        return OverSteps(
            metric, [(step, has[metric]) for step, has in self.moments if metric in has]
        )

    def figure(
        self,
        headline: str,
        *,
        along: str = "training step",
        distance: float | None = None,
        marks: Mapping[int, str] | None = None,
    ) -> Markup:
        """Inline SVG of the numbers that tell most; empty where none can be drawn."""
        drawn = draw(
            f"{self.chapter.check}-over-steps",
            f"{self.chapter.title}, over the training",
            headline,
            [self.curve(name) for name in self.leads],
            along=along,
            distance=distance,
            marks=marks,
        )
        return Markup(drawn)
