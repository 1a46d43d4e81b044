"""From measurements to findings, the gravest first, and to one sentence."""

from collections.abc import Sequence

from seqprobe.contracts import Finding, Status
from seqprobe.diagnosis import (
    attention,
    carry_over,
    context,
    demands,
    gradients,
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
    *use.RULES, *context.RULES, *window.RULES, *carry_over.RULES, *attention.RULES,
    *training.RULES,
)  # fmt: skip


def diagnose(case: Case) -> tuple[Finding, ...]:
    """All findings of all rules."""
    found = [finding for rule in _RULES for finding in rule(case)]
    return tuple(sorted(found, key=lambda finding: ORDER.index(finding.status)))


def status_of(check: str, findings: Sequence[Finding]) -> Status:
    """The gravest finding about a check; `info` if there is none."""
    for finding in findings:
        if finding.check == check:
            return finding.status
    return "info"


def headline(case: Case) -> str:
    """The four quantities in one sentence."""
    parts = {
        "path-length.reach": "can be reached from {} back",
        "gradient-decay.horizon": "has a gradient over {}",
        "position.horizon": "uses single tokens over {}",
        "bottleneck.horizon": "keeps something in its state over {}",
    }
    said = [text.format(steps) for metric, text in parts.items() if (steps := _steps(case, metric))]
    return f"The model {', '.join(said[:-1])} and {said[-1]}." if len(said) > 1 else ""


def _steps(case: Case, metric: str) -> str:
    found = case.metric(metric)
    if found is None or (found.value is None and found.low is None):
        return ""
    if found.value is None:
        return f"at least {found.low:.0f} steps"
    return f"{found.value:.0f} steps"
