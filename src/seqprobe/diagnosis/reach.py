"""Rules about what cannot arrive at all, and what arrives but fades."""

from collections.abc import Iterator

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, below


def window_limited(case: Case) -> Iterator[Finding]:
    """There is no path over the distance asked about, and no change arrives."""
    reach = case.estimate("path-length.reach")
    if reach is None or not below(reach, case.distance):
        return
    yield Finding(
        rule="out-of-reach",
        check="path-length",
        status="problem",
        statement=f"Nothing further back than {reach.value:.0f} steps changes a single bit of the "
        f"output; distance {case.distance} is out of reach at this precision.",
        metric="reach",
        evidence=reach,
        threshold=f"reach below {case.distance} steps",
        source="theory",
        reference="Attention is all you need (Vaswani et al., 2017), table 1",
        remedy="Widen the window or the receptive field, add layers, or carry a state.",
        falsified_by=f"One edit at distance {case.distance} that changes the output.",
    )


def reachable_but_vanished(case: Case) -> Iterator[Finding]:
    """A change arrives, the gradient does not."""
    reach, there = case.estimate("path-length.reach"), case.estimate("gradient-decay.at_distance")
    if reach is None or below(reach, case.distance) or there is None or not below(there, 1e-3):
        return
    yield Finding(
        rule="reachable-but-vanished",
        check="gradient-decay",
        status="info",
        statement=f"An input {case.distance} steps back can still change the output, but only by "
        f"{there.value:.1e} of what the present one can: reachable, and vanished.",
        metric="at_distance",
        evidence=there,
        threshold="reach beyond the distance, gradient below 0.001",
        source="theory",
        reference="On the difficulty of training recurrent neural networks (Pascanu et al., 2013)",
        remedy="The path exists; it is its strength that has to grow.",
        falsified_by="A gradient above 0.001 at this distance on other inputs.",
    )


RULES = (window_limited, reachable_but_vanished)
