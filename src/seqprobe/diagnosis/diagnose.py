"""From measurements to findings, the gravest first."""

from collections.abc import Sequence
from dataclasses import replace

from seqprobe.contracts import Finding, Status
from seqprobe.diagnosis import (
    attention,
    carry_over,
    context,
    costs,
    demands,
    gradients,
    look_back,
    reach,
    spectrum,
    storage,
    training,
    use,
    weights,
    window,
)
from seqprobe.diagnosis.case import Case, Rule

ORDER: tuple[Status, ...] = (
    "problem", "attention", "fine", "info", "not applicable", "not run", "error",
)  # fmt: skip
_RULES: tuple[Rule, ...] = (
    *demands.RULES, *weights.RULES, *reach.RULES, *gradients.RULES, *spectrum.RULES, *storage.RULES,
    *use.RULES, *context.RULES, *look_back.RULES, *window.RULES, *carry_over.RULES,
    *attention.RULES, *training.RULES, *costs.RULES,
)  # fmt: skip


def diagnose(case: Case) -> tuple[Finding, ...]:
    """All findings of all rules."""
    found = [_directed(case, finding) for rule in _RULES for finding in rule(case)]
    return tuple(sorted(found, key=lambda finding: ORDER.index(finding.status)))


def _directed(case: Case, finding: Finding) -> Finding:
    """Rules look back; it is said of what was also measured ahead."""
    if case.metric(f"{finding.check}.{finding.metric}_ahead") is None:
        return finding
    return replace(finding, statement=f"Looking back: {finding.statement}")


def status_of(check: str, findings: Sequence[Finding]) -> Status:
    """The gravest finding about a check; `info` if there is none."""
    for finding in findings:
        if finding.check == check:
            return finding.status
    return "info"
