"""What the terminal says about a report: the same as the first screen of the page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from seqprobe.errors import LostProcess

if TYPE_CHECKING:
    from seqprobe.records import Assumption, Verification
    from seqprobe.report import Report

INTERRUPTED = 130


def show(report: "Report") -> None:
    """The verdict, a line per check, and the gravest findings with what to do."""
    model = report.model
    click.echo(
        f"{model.name}: {model.family}, {model.parameters:,} parameters, on {report.data.source}"
    )
    click.echo(report.verdict.headline)
    for check in report.checks:
        click.echo(f"  {check.id:<17} {check.status:<14} {check.headline}")
    for step in model.verification:
        if step.status == "failed":
            click.echo(f"  not verified: {_said(step)}")
    for taken in model.assumptions:
        if taken.decided_by in ("likelihood", "default"):
            click.echo(f"  {_decided(taken)}")
    for warning in report.warnings:
        click.echo(f"  warning: {warning}")
    asked = [f for f in report.findings if f.rule.startswith("need-")]
    grave = [finding for finding in report.at_least("attention") if finding not in asked]
    for finding in (*asked, *grave[:3]):
        said = f"{finding.statement} {finding.consequence}".rstrip()
        remedy = f"\n    Do: {finding.remedy}" if finding.remedy else ""
        click.echo(f"  {finding.status}: {said}{remedy}")


def _said(step: "Verification") -> str:
    value = f": {step.value}" if step.value is not None else ""
    return step.step + value + (f" (compared with {step.reference})" if step.reference else "")


def _decided(taken: "Assumption") -> str:
    how = "fits the data best" if taken.decided_by == "likelihood" else "assumed"
    others = f"; {taken.alternatives_are}: {', '.join(taken.alternatives)}"
    return f"{taken.name} = {taken.value} ({how}{others if taken.alternatives else ''})"


def why_cut_short(reports: Sequence["Report"]) -> str:
    """Why not all was measured that was asked for; empty where it was."""
    from seqprobe.assembly import CUT_SHORT

    said = [warning for report in reports for warning in report.warnings]
    return next((warning for warning in said if warning.endswith(CUT_SHORT)), "")


def exit_code(reports: Sequence["Report"], fail_on: str | None) -> int:
    """Of a run that wrote its report."""
    if why := why_cut_short(reports):
        return INTERRUPTED if why.startswith("Interrupted") else LostProcess.exit_code
    return int(any(grave_enough(report, fail_on) for report in reports))


def grave_enough(report: "Report", fail_on: str | None) -> bool:
    """Whether any finding is at or above what `--fail-on` names."""
    return fail_on is not None and bool(report.at_least(fail_on))
