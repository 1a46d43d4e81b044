"""Rules about forecasters: how many of the steps that they are given they use."""

from collections.abc import Iterator

from seqprobe.contracts import Estimate, Finding, Status
from seqprobe.diagnosis.case import Case, above, below
from seqprobe.estimators.enough import MORE

USED_SHARE = 0.5
ERROR = f"{MORE:.0%} of perplexity, or two hundredths of the mean squared error"


def look_back_unused(case: Case) -> Iterator[Finding]:
    """Half of what it is given, or less, predicts like all of it."""
    needed, given = case.estimate("context.effective_length"), given_steps(case)
    if not _can_look_back(case) or needed is None or not below(needed, USED_SHARE * given):
        return
    most = round(needed.high or needed.value or 1)
    yield _finding(
        "look-back-unused",
        "attention" if _trained(case) or below(needed, case.distance) else "info",
        needed,
        uses(case, needed),
        "What came before them costs memory and time, and is worth nothing on these series.",
        f"interval below {USED_SHARE:.0%} of the steps given",
        f"Shorten the look-back to {most} steps and train again; or make the rest pay: give "
        "differences or means over longer spans as features, or patches of several steps, or train "
        "longer.",
        f"Series on which more steps lower the loss by over {ERROR}.",
    )


def look_back_used(case: Case) -> Iterator[Finding]:
    """Most of what it is given is needed."""
    needed, given = case.estimate("context.effective_length"), given_steps(case)
    if not _can_look_back(case) or not above(needed, USED_SHARE * given - 1):
        return
    assert needed is not None
    yield _finding(
        "look-back-used", "fine", needed, uses(case, needed),
        "The look-back pays.", f"interval above {USED_SHARE:.0%} of the steps given, less one", "",
        "Series on which the last few steps predict like all of them.",
    )  # fmt: skip


def uses(case: Case, needed: Estimate) -> str:
    """In words."""
    given = given_steps(case)
    steps = needed.low if needed.value is None else needed.value
    many = f"more than {steps:.0f}" if needed.value is None else f"{min(steps or 0, given):.0f}"
    here = "" if _trained(case) else ", as many as the analysis gives it"
    return f"The model uses {many} of the {given:.0f} steps it is given{here}."


def given_steps(case: Case) -> float:
    """As many as in training, where that is known, else those of the analysis."""
    return _trained(case) or float(case.length)


def _trained(case: Case) -> float:
    length = case.metric("window.trained_length")
    return (length.value if length else None) or 0.0


def _can_look_back(case: Case) -> bool:
    return case.real and case.family != "memoryless"


def _finding(
    rule: str, status: Status, needed: Estimate, statement: str, consequence: str,
    threshold: str, remedy: str, falsified_by: str,
) -> Finding:  # fmt: skip
    return Finding(
        rule=rule,
        check="context",
        status=status,
        statement=statement,
        consequence=consequence,
        metric="effective_length",
        evidence=needed,
        threshold=threshold,
        source="our convention",
        reference="",
        remedy=remedy,
        falsified_by=falsified_by,
    )


RULES = (look_back_unused, look_back_used)
