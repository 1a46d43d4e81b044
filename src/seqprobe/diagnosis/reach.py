"""Rules about what cannot arrive at all, and what arrives but fades."""

from collections.abc import Iterator

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above, below
from seqprobe.diagnosis.gradients import DEAD, PASCANU, WEAK, strengthen


def out_of_reach(case: Case) -> Iterator[Finding]:
    """No change arrives over the distance asked about, by whatever was edited."""
    reach = case.reach
    if reach is None or not below(reach, case.distance):
        return
    check = "path-length" if reach == case.metric("path-length.reach") else "window"
    lost = faded(case)
    yield Finding(
        rule="out-of-reach",
        check=check,
        status="problem",
        statement=f"Nothing further back than {reach.value:,.0f} steps changes a single bit of the "
        f"output; distance {case.distance} is out of reach at this precision.",
        consequence="There is a path, but what comes along it is lost in rounding."
        if lost
        else "What lies there cannot be used, whatever the data are.",
        metric="reach",
        evidence=reach,
        threshold=f"reach below {case.distance} steps",
        source="theory",
        reference="Attention is all you need (Vaswani et al., 2017), table 1",
        remedy=strengthen(case)
        if lost
        else "Widen the window or the receptive field, add layers, or carry a state.",
        falsified_by=f"One edit at distance {case.distance} that changes the output.",
    )


def faded(case: Case) -> bool:
    """There is a gradient from the distance asked about, too small to be more than rounding."""
    there = case.metric("gradient-decay.at_distance")
    return above(there, 0.0) and below(there, DEAD)


def reachable_but_vanished(case: Case) -> Iterator[Finding]:
    """A change arrives, the gradient does not."""
    there = case.estimate("gradient-decay.at_distance")
    if there is None or not below(there, WEAK) or not above(case.reach, case.distance - 1):
        return
    yield Finding(
        rule="reachable-but-vanished",
        check="gradient-decay",
        status="info",
        statement=f"Reachable but vanished: an input {case.distance} steps back can still change "
        f"the output, but only by {there.value:.1e} of what the present one can.",
        consequence="The path exists; it is its strength that has to grow.",
        metric="at_distance",
        evidence=there,
        threshold=f"reach of {case.distance} steps, gradient below {WEAK:g}",
        source="theory",
        reference=PASCANU,
        remedy="Keep the architecture; strengthen the path by its initialisation or its gates.",
        falsified_by=f"A gradient above {WEAK:g} at this distance on other inputs.",
    )


RULES = (out_of_reach, reachable_but_vanished)
