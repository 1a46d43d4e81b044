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
STRENGTHEN = (
    "Raise the forget-gate bias towards ln(T - 1), initialise for long memory (chrono), "
    "add skip connections, or use attention."
)
SOFTEN = (
    "Look at scores that are too large: normalise queries and keys, or lower the learning rate; "
    "residual connections keep a path open."
)
SLOWER = (
    "Let states decay more slowly from the start: smaller step sizes, or rates nearer to zero; or "
    "put layers of attention between."
)
PASCANU = "On the difficulty of training recurrent neural networks (Pascanu et al., 2013)"
BENGIO = "Learning long-term dependencies with gradient descent is difficult (Bengio et al., 1994)"


def vanished(case: Case, check: str = "gradient-decay", lowered: float = 1.0) -> Iterator[Finding]:
    """The gradient at the distance asked about is gone, or nearly so.

    The check may lie below the truth, by the factor `lowered` on average. Where there is no path at
    all nothing has vanished.
    """
    there = case.estimate(f"{check}.at_distance")
    if there is None or not below(there, lowered * WEAK) or _no_path(case):
        return
    dead = below(there, lowered * DEAD)
    yield Finding(
        rule="gradient-vanished",
        check=check,
        status="problem" if dead else "attention",
        statement=f"The gradient {'does not reach' if dead else 'hardly reaches'} distance "
        f"{case.distance}: {there.value:.1e} of its value at distance 0.",
        consequence="What happens that far back cannot be learned from here, and is hardly used "
        "through gradients now.",
        metric="at_distance",
        evidence=there,
        threshold=f"interval below {lowered * (DEAD if dead else WEAK):.2g}",
        source="our convention",
        reference=BENGIO,
        remedy=strengthen(case),
        falsified_by=f"A task that needs distance {case.distance} and is solved all the same.",
    )


def strengthen(case: Case) -> str:
    """What makes more of the gradient arrive."""
    return {"attention": SOFTEN, "state space": SLOWER}.get(case.family, STRENGTHEN)


def _no_path(case: Case) -> bool:
    """Nothing reaches that far, and the gradient is exactly zero."""
    there = case.metric("gradient-decay.at_distance")
    nothing = there is not None and there.high == 0
    return nothing and below(case.reach, case.distance)


def absent_at_the_start(case: Case) -> Iterator[Finding]:
    """It was not there before training either, and training has not brought it.

    Where it is there now, nearer things were learned first, or the start was another one.
    """
    before = case.estimate("gradient-decay.at_distance_untrained")
    now = case.estimate("gradient-decay.at_distance")
    if before is None or not below(before, DEAD) or not below(now, WEAK) or _no_path(case):
        return
    start = SLOWER if case.family == "state space" else STRENGTHEN
    yield Finding(
        rule="gradient-absent-at-start",
        check="gradient-decay",
        status="info",
        statement=f"With its weights set back to their modules' own initialisation, the gradient "
        f"at distance {case.distance} is {before.value:.1e} of its value at distance 0.",
        consequence="A dependency over that distance could not be learned from such a start, "
        "unless nearer ones lead there.",
        metric="at_distance_untrained",
        evidence=before,
        threshold=f"interval below {DEAD:g} before training, and below {WEAK:g} now",
        source="theory",
        reference=BENGIO,
        remedy=f"Start it another way before training longer: {start[0].lower()}{start[1:]}",
        falsified_by="A training from such a start that learns this distance alone, without nearer "
        "ones.",
    )


def arrives(case: Case) -> Iterator[Finding]:
    """No vanishing; which promises nothing."""
    there = case.estimate("gradient-decay.at_distance")
    if there is None or not above(there, STRONG) or any(explodes(case)):
        return
    yield Finding(
        rule="gradient-arrives",
        check="gradient-decay",
        status="fine",
        statement=f"No vanishing gradient at distance {case.distance}: {there.value:.2g} of its "
        "value at distance 0.",
        consequence="This is necessary for learning from there, not sufficient.",
        metric="at_distance",
        evidence=there,
        threshold=f"interval above {STRONG:g}",
        source="our convention",
        reference=PASCANU,
        remedy="Nothing to change in the gradient path.",
        falsified_by="A longer distance, or other data, at which it vanishes.",
    )


def explodes(case: Case, check: str = "gradient-decay") -> Iterator[Finding]:
    """The gradient grows with distance, exponentially: by a power of it, sums grow as well.

    Attention does not multiply it from step to step; what is early is reached in more ways.
    """
    rate, steady = case.estimate(f"{check}.rate"), case.estimate(f"{check}.steady_rate")
    if case.family == "attention" or steady is None:
        return
    if not below(rate, -EXPLODING) or not below(steady, -EXPLODING):
        return
    yield Finding(
        rule="gradient-explodes",
        check=check,
        status="problem",
        statement=f"The gradient grows with distance, by a factor e every "
        f"{1 / -(steady.value or -1):.3g} steps.",
        consequence="A few long sequences decide every update: losses jump, or become NaN.",
        metric="steady_rate",
        evidence=steady,
        threshold=f"intervals of both rates below {-EXPLODING:g} nats per step",
        source="our convention",
        reference=PASCANU,
        remedy="Clip gradients, lower the recurrent gain, or initialise recurrent weights "
        "orthogonally.",
        falsified_by="A curve that falls when it is measured on longer sequences.",
    )


RULES = (
    vanished,
    partial(vanished, check="gradient-draw", lowered=ONE_DIRECTION),
    absent_at_the_start,
    arrives,
    explodes,
    partial(explodes, check="gradient-draw"),
)
