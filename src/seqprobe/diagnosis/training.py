"""Rules about gates that are stuck, and about what goes wrong while a model trains."""

from collections.abc import Iterator
from functools import partial

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above

NEARLY_ALL, GROWN, OPEN = 0.9, 100.0, 99


def gates_saturated(case: Case, check: str) -> Iterator[Finding]:
    """Nearly all gates are stuck that the task does not need open.

    Many of them are in models that train well: 68 % in the bundled GRU.
    """
    share = case.estimate(f"{check}.saturated_gates")
    tolerated = _tolerated(case.distance)
    if share is None or share.value is None or not above(share, tolerated):
        return
    yield Finding(
        rule="gates-saturated",
        check=check,
        status="attention",
        statement=f"{share.value:.0%} of the gates that keep the state lie within 0.01 of 0 or 1.",
        consequence="They get hardly any gradient, and stay closed or open whatever the input is.",
        metric="saturated_gates",
        evidence=share,
        threshold=f"interval above {tolerated:.0%}: nine tenths of the gates that need not be "
        f"open for distance {case.distance}",
        source="our convention",
        reference="Visualizing and understanding recurrent networks (Karpathy et al., 2015)",
        remedy="Lower the learning rate, clip gradients, or start gate biases nearer to zero; for "
        "a task that needs more than 100 steps, give its distance.",
        falsified_by="Gates that move again on other sequences, or when training goes on.",
    )


def _tolerated(distance: int) -> float:
    """The gates that chrono initialisation for this distance opens, and nine tenths of the others.

    It draws u from 1 to distance - 1 and opens to u / (1 + u): within 0.01 of 1 above u = 99.
    """
    meant = max(0.0, (distance - 1 - OPEN) / max(distance - 2, 1))
    return meant + NEARLY_ALL * (1 - meant)


def loss_gradient_not_finite(case: Case) -> Iterator[Finding]:
    """NaN or infinity comes back from the loss."""
    share = case.estimate("loss-gradient.not_finite")
    if share is None or share.value is None or not above(share, 0):
        return
    yield Finding(
        rule="loss-gradient-not-finite",
        check="loss-gradient",
        status="problem",
        statement=f"The gradient of the loss is NaN or infinite in {share.value:.0%} of the "
        "sequences.",
        consequence="An update with it makes all weights NaN.",
        metric="not_finite",
        evidence=share,
        threshold="interval above 0",
        source="theory",
        reference="",
        remedy="Go back to a checkpoint from before it began, and lower the learning rate or clip "
        "gradients; in half precision, scale the loss or train in bfloat16.",
        falsified_by="Nothing, where it goes on; a scaler of the loss may overflow once.",
    )


def loss_gradient_grows(case: Case) -> Iterator[Finding]:
    """What comes back to early positions is much more than what comes back to late ones.

    Early positions have more losses after them: where a recurrence keeps gradients as they are,
    and all losses agree, that alone makes 7. Attention does not multiply gradients with distance.
    """
    ratio = case.estimate("loss-gradient.early_ratio")
    if case.family == "attention" or ratio is None or ratio.value is None:
        return
    if not above(ratio, GROWN):
        return
    yield Finding(
        rule="loss-gradient-grows",
        check="loss-gradient",
        status="problem",
        statement=f"The gradient of the loss at early positions is {ratio.value:.2g} times that at "
        "late ones.",
        consequence="It grows on its way back: a few long sequences decide every update.",
        metric="early_ratio",
        evidence=ratio,
        threshold=f"interval above {GROWN:g}",
        source="our convention",
        reference="On the difficulty of training recurrent neural networks (Pascanu et al., 2013)",
        remedy="Clip gradients, lower the recurrent gain, or initialise recurrent weights "
        "orthogonally.",
        falsified_by="A gradient over distance (`gradient-decay`) that falls.",
    )


RULES = (
    partial(gates_saturated, check="states"),
    partial(gates_saturated, check="gradient-decay"),
    loss_gradient_not_finite,
    loss_gradient_grows,
)
