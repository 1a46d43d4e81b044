"""One sentence: how far the model sees, and what stops it at the distance asked about."""

from collections.abc import Sequence
from typing import NamedTuple

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above, below
from seqprobe.diagnosis.reach import faded
from seqprobe.diagnosis.storage import USED_BITS
from seqprobe.estimators.enough import ALLOWED

UNTRAINED = "It predicts no better than token frequencies do"


class _Words(NamedTuple):
    """How a number of steps is said, how a lower bound, and how that there is nothing."""

    about: str
    bound: str
    nothing: str


class _Sight(NamedTuple):
    """A distance that was measured, or what it is at least."""

    metric: str
    steps: int
    bounded: bool

    def said(self) -> str:
        """In words."""
        words = WORDS[self.metric]
        if self.bounded:
            return words.bound.format(self.steps)
        if self.steps <= (self.metric in COUNT_THE_PRESENT):
            return words.nothing
        if self.steps == 1 and self.metric == "position.horizon":
            return "predictions use the last token or two"
        return words.about.format(self.steps)


STORED = "bottleneck.horizon"
COUNT_THE_PRESENT = (STORED, "context.effective_length")
WORDS = {
    "position.horizon": _Words(
        "predictions use about the last {} tokens",
        "predictions use at least the last {} tokens",
        "predictions use the present token alone",
    ),
    "context.effective_length": _Words(
        "the last {} tokens predict like the whole past",
        "predictions need more than the last {} tokens",
        "the present token predicts like the whole past",
    ),
    "gradient-decay.horizon": _Words(
        "the gradient reaches about {} steps back",
        "the gradient reaches at least {} steps back",
        "no gradient arrives from before the present step",
    ),
    STORED: _Words(
        "the state keeps something of the last {} steps",
        "the state keeps something of at least the last {} steps",
        "nothing of the past could be read from the state",
    ),
    "path-length.reach": _Words(
        "a change reaches the output up to {} steps later",
        "a change reaches the output at least {} steps later",
        "no earlier input changes the output",
    ),
}
"""The first one that was measured begins the sentence."""

AHEAD = {
    "position.horizon": _Words("about the next {}", "at least the next {}", "nothing ahead"),
    "gradient-decay.horizon": _Words("about {} ahead", "at least {} ahead", "from nothing ahead"),
    STORED: _Words("of the next {}", "of at least the next {}", "of nothing ahead"),
    "path-length.reach": _Words(
        "up to {} steps earlier", "at least {} steps earlier", "no later one an earlier output"
    ),
}
"""What follows it in models that look ahead."""

STOPS = {
    "gradient-explodes": "learning over distance {} is stopped by exploding gradients",
    "gradient-vanished": "distance {} is stopped by vanishing gradients",
    "trainable-not-stored": "the gradient arrives from distance {}, but the state does not keep "
    "what is there",
    "stored-unused": "what lies {} steps back is in the state, and not used",
}


def verdict(case: Case, findings: Sequence[Finding]) -> str:
    """A sentence of what was measured; empty where nothing about distance was."""
    sights = [sight for metric in WORDS if (sight := _sight(case, metric))]
    if not sights:
        return ""
    ahead = _ahead(case, sights[0].metric)
    said = _looked_back(findings) or sights[0].said()
    said += ahead or _kept(case, sights)
    start = f"{UNTRAINED}: {said}" if case.predicts is False else said[0].upper() + said[1:]
    there = _at_distance(case, {finding.rule for finding in findings}, sights[0].metric)
    return f"{start}; {'looking back, ' if ahead else ''}{there}."


def _ahead(case: Case, metric: str) -> str:
    """How far the same reaches ahead; empty where that was not measured."""
    found = _sight(case, metric, "_ahead")
    if found is None:
        return ""
    words, nothing = AHEAD[metric], metric in COUNT_THE_PRESENT
    if found.bounded:
        return f", and {words.bound.format(found.steps)}"
    said = words.nothing if found.steps <= nothing else words.about.format(found.steps)
    return f", and {said}"


def _sight(case: Case, metric: str, side: str = "") -> _Sight | None:
    found = case.metric(f"{metric}{side}")
    if found is None:
        return None
    steps = found.low if found.value is None else found.value
    return None if steps is None else _Sight(metric, round(steps), found.value is None)


def _looked_back(findings: Sequence[Finding]) -> str:
    """What a forecaster makes of the steps that it is given, where that is little."""
    unused = (found for found in findings if found.rule == "look-back-unused")
    return next((f"the{found.statement[3:-1]}" for found in unused), "")


def _kept(case: Case, sights: Sequence[_Sight]) -> str:
    """What the state keeps, beside what was said first; for attention it is not all that is."""
    first, stored = sights[0], next((each for each in sights if each.metric == STORED), None)
    if stored is None or stored is first or case.family != "recurrent":
        return ""
    longer = stored.steps - 1 > first.steps and not first.bounded
    said = stored.said().replace("the last ", "").removesuffix(" steps")
    return f", {'though' if longer else 'and'} {said}"


def _at_distance(case: Case, fired: set[str], told: str) -> str:
    """What stops it there, or that nothing does; `told` is the metric that was told before."""
    if "out-of-reach" in fired:
        return _out_of_reach(case)
    there = f"distance {case.distance}"
    if "state-too-small" in fired:
        return f"{there} is kept only in part, by a state that is too small or undertrained"
    if _used(case):
        return f"{there} is used"
    if stop := next((words for rule, words in STOPS.items() if rule in fired), ""):
        return stop.format(case.distance)
    return _not_stopped(case, there, fired, told)


def _out_of_reach(case: Case) -> str:
    if faded(case):
        return f"what comes from distance {case.distance} fades below the last bit of the output"
    steps = round((case.reach and case.reach.value) or 0)
    plural = "" if steps == 1 else "s"
    nothing = f"nothing further back than {steps} step{plural}" if steps else "no earlier input"
    return f"distance {case.distance} is out of reach: {nothing} changes the output"


def _used(case: Case) -> bool:
    return above(case.estimate("position.at_distance"), USED_BITS) or above(
        case.estimate("context.loss_at_distance"), ALLOWED
    )


def _not_stopped(case: Case, there: str, fired: set[str], told: str) -> str:
    known = unused = ""
    if "gradient-arrives" in fired and told == "gradient-decay.horizon":
        known = f"{there} is within that"
    elif "gradient-arrives" in fired:
        known = f"the gradient arrives from {there}"
    elif above(case.reach, case.distance - 1):
        known = f"{there} is in reach"
    if below(case.estimate("context.effective_length"), case.distance):
        unused = "what lies there is not used"
    elif below(case.estimate("position.horizon"), case.distance):
        unused = "no single token there is used"
    if known and unused:
        return f"{known}, but {unused}"
    if unused:
        return f"{unused.replace('there', f'at {there}')}"
    return known or f"what stops {there} cannot be told from what was measured"
