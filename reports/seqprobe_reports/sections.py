"""One section per check: the same check of every model side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seqprobe.contracts import Estimate, Finding, Series
from seqprobe.records import Check, is_baseline
from seqprobe_reports.baselines import variants
from seqprobe_reports.subjects import Subject

WITHOUT_RESULT = ("not applicable", "not run", "error")
SEVERITY = ("problem", "attention", "error", "info", "fine", "not run", "not applicable")


@dataclass(frozen=True)
class Metric:
    """One metric: an estimate per model, for the model itself and for each of its baselines."""

    name: str
    estimates: dict[str, list[Estimate | None]]


@dataclass(frozen=True)
class Section:
    """A check as every model of the page has it; None where a report does not know it."""

    id: str
    subjects: tuple[Subject, ...]

    @property
    def checks(self) -> list[Check | None]:
        """The check of each model, in the order of the page."""
        return [subject.check(self.id) for subject in self.subjects]

    @property
    def text(self) -> Check:
        """Where title, question and method are taken from: the best that was measured."""
        known = [check for check in self.checks if check]
        return next((check for check in known if check.status not in WITHOUT_RESULT), known[0])

    @property
    def has_result(self) -> bool:
        """Whether any model has a result."""
        return self.text.status not in WITHOUT_RESULT

    @property
    def metrics(self) -> list[Metric]:
        """Each metric with its estimate per model, its baselines beside it."""
        names = _union(check.metrics for check in self.checks if check)
        return [self._metric(name, names) for name in names if not is_baseline(name, names)]

    @property
    def baselines(self) -> list[str]:
        """What any of its metrics was also measured on."""
        return _union(list(metric.estimates)[1:] for metric in self.metrics)

    def _metric(self, name: str, names: list[str]) -> Metric:
        found = {
            measured_on: [subject.metric(self.id, variant) for subject in self.subjects]
            for measured_on, variant in variants(name, names).items()
        }
        return Metric(name, found)

    @property
    def tables(self) -> list[tuple[Subject, Series]]:
        """The data tables of all models."""
        return [
            (subject, table)
            for subject, check in zip(self.subjects, self.checks, strict=True)
            for id in (check.tables if check else ())
            if (table := subject.table(id)) is not None
        ]


def sections(subjects: tuple[Subject, ...]) -> list[Section]:
    """The checks of all models, each once, in the order of the reports."""
    ids = _union([check.id for check in subject.report.checks] for subject in subjects)
    return [Section(id, subjects) for id in ids]


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """What matters most first."""
    return sorted(findings, key=lambda finding: SEVERITY.index(finding.status))


def _union(groups: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))
