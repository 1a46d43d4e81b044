"""The models a page is about, each under a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqprobe.contracts import Estimate, Series
from seqprobe.errors import UsageError
from seqprobe.names import distinct
from seqprobe.records import Check
from seqprobe.report import Comparison, Report


@dataclass(frozen=True)
class Subject:
    """One model of the page: its report, and a name no other model of the page has."""

    name: str
    report: Report

    def check(self, id: str) -> Check | None:
        """The check, if the report has it."""
        return next((check for check in self.report.checks if check.id == id), None)

    def metric(self, check: str, name: str) -> Estimate | None:
        """One estimate, or None where it was not measured."""
        return self.report.metric(f"{check}.{name}")

    def table(self, id: str) -> Series | None:
        """One table, if the report has it."""
        return next((table for table in self.report.tables if table.id == id), None)

    def curve(self, check: str, beside: str = "") -> Series | None:
        """The table that a check's figure is drawn from: its first, or one beside it."""
        found = self.check(check)
        if not found or not found.tables:
            return None
        id = f"{check}-{beside}" if beside else found.tables[0]
        return self.table(id) if id in found.tables else None


def on_view(what: Comparison | Sequence[Report]) -> tuple[Subject, ...]:
    """Those that are shown side by side: all, or the first and the last one of a training."""
    return subjects(what.ends if isinstance(what, Comparison) else what)


def subjects(reports: Sequence[Report]) -> tuple[Subject, ...]:
    """Name the models by their files, numbered where two files share a name.

    Raises:
        UsageError: there are none.
    """
    if not reports:
        raise UsageError("there is no report to show", got="none", do="Give a report.")
    names = distinct(report.model.name for report in reports)
    return tuple(Subject(name, report) for name, report in zip(names, reports, strict=True))
