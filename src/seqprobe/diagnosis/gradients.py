"""Rules about gradients over distance."""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above, below

DEAD, WEAK, STRONG, EXPLODING = 1e-6, 1e-3, 1e-2, 0.05
ONE_DIRECTION = math.exp(-(np.euler_gamma + math.log(2)) / 2)
"""exp E ln |z| of a normal z: a random direction, where the Jacobian has a single one."""


def vanished(case: Case, check: str = "gradient-decay", lowered: float = 1.0) -> Iterator[Finding]:
    """The gradient at the distance asked about is gone, or nearly so.

    The check may lie below the truth, by the factor `lowered` on average.
    """
    there = case.estimate(f"{check}.at_distance")
    if there is None or not below(there, lowered * WEAK):
        return
    dead = below(there, lowered * DEAD)
    yield Finding(
        rule="gradient-vanished",
        check=check,
        status="problem" if dead else "attention",
        statement=f"The gradient {'does not reach' if dead else 'hardly reaches'} distance "
        f"{case.distance}: {there.value:.1e} of its value at distance 0. What happens that far "
        "back cannot be learned from here, and is hardly used through gradients now.",
        metric="at_distance",
        evidence=there,
        threshold=f"interval below {lowered * (DEAD if dead else WEAK):.2g}",
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


def explodes(case: Case, check: str = "gradient-decay") -> Iterator[Finding]:
    """The gradient grows with distance.

    Attention does not multiply it from step to step; what is early is reached in more ways.
    """
    rate = case.estimate(f"{check}.rate")
    if case.family == "attention" or rate is None or not below(rate, -EXPLODING):
        return
    yield Finding(
        rule="gradient-explodes",
        check=check,
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


RULES = (
    vanished,
    partial(vanished, check="gradient-draw", lowered=ONE_DIRECTION),
    arrives,
    explodes,
    partial(explodes, check="gradient-draw"),
)
