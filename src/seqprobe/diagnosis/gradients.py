"""Rules about gradients over distance."""

from collections.abc import Iterator

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above, below

DEAD, WEAK, STRONG, EXPLODING = 1e-6, 1e-3, 1e-2, 0.05


def vanished(case: Case) -> Iterator[Finding]:
    """The gradient at the distance asked about is gone, or nearly so."""
    there = case.estimate("gradient-decay.at_distance")
    if there is None or not below(there, WEAK):
        return
    dead = below(there, DEAD)
    yield Finding(
        rule="gradient-vanished",
        check="gradient-decay",
        status="problem" if dead else "attention",
        statement=f"The gradient {'does not reach' if dead else 'hardly reaches'} distance "
        f"{case.distance}: {there.value:.1e} of its value at distance 0. What happens that far "
        "back cannot be learned from here, and is hardly used through gradients now.",
        metric="at_distance",
        evidence=there,
        threshold=f"interval below {DEAD if dead else WEAK:g}",
        source="our convention",
        reference="Learning long-term dependencies with gradient descent is difficult "
        "(Bengio et al., 1994)",
        remedy="Raise the forget-gate bias towards ln(T - 1), initialise for long memory (chrono), "
        "add skip connections, or use attention.",
        falsified_by=f"A task that needs distance {case.distance} and is solved all the same.",
    )


def arrives(case: Case) -> Iterator[Finding]:
    """No vanishing; which promises nothing."""
    there = case.estimate("gradient-decay.at_distance")
    if there is None or not above(there, STRONG):
        return
    yield Finding(
        rule="gradient-arrives",
        check="gradient-decay",
        status="fine",
        statement=f"No vanishing gradient at distance {case.distance}: {there.value:.2g} of its "
        "value at distance 0. This is necessary for learning from there, not sufficient.",
        metric="at_distance",
        evidence=there,
        threshold=f"interval above {STRONG:g}",
        source="our convention",
        reference="On the difficulty of training recurrent neural networks (Pascanu et al., 2013)",
        remedy="Nothing to change in the gradient path.",
        falsified_by="A longer distance, or other data, at which it vanishes.",
    )


def explodes(case: Case) -> Iterator[Finding]:
    """The gradient grows with distance."""
    rate = case.estimate("gradient-decay.rate")
    if rate is None or not below(rate, -EXPLODING):
        return
    yield Finding(
        rule="gradient-explodes",
        check="gradient-decay",
        status="problem",
        statement=f"The gradient grows with distance, by a factor e every "
        f"{1 / -(rate.value or -1):.0f} steps.",
        metric="rate",
        evidence=rate,
        threshold=f"interval below {-EXPLODING:g} nats per step",
        source="our convention",
        reference="On the difficulty of training recurrent neural networks (Pascanu et al., 2013)",
        remedy="Clip gradients, lower the recurrent gain, or initialise recurrent weights "
        "orthogonally.",
        falsified_by="A curve that falls when it is measured on longer sequences.",
    )


RULES = (vanished, arrives, explodes)
