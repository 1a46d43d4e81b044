"""Rules about the weights themselves."""

import math
from collections.abc import Iterator, Sequence

from seqprobe.contracts import Estimate, Finding
from seqprobe.diagnosis.case import Case, below
from seqprobe.diagnosis.gradients import WEAK


def not_finite(case: Case) -> Iterator[Finding]:
    """NaN or infinity somewhere, although the outputs are still finite."""
    if not case.nonfinite:
        return
    yield Finding(
        rule="weights-not-finite",
        check="weights",
        status="problem",
        statement=f"NaN or infinity stands in {_listed(case.nonfinite)}.",
        consequence="It spreads to every output that these weights touch.",
        metric="nonfinite",
        evidence=Estimate(float(len(case.nonfinite)), "tensors", exact=True),
        threshold="any",
        source="theory",
        reference="",
        remedy="Go back to a checkpoint from before training diverged.",
        falsified_by="Nothing: it stands in the file.",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more tensors" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def gates_too_closed(case: Case) -> Iterator[Finding]:
    """No gate of the recurrence is open enough, by its bias, for the distance asked about.

    Only where the gradient does not arrive either: inputs can open what the bias leaves closed.
    """
    bias = case.estimate("weights.forget_bias_max")
    there = case.estimate("gradient-decay.at_distance")
    needed = math.log(max(case.distance - 1, 1))
    if bias is None or not below(bias, needed) or not below(there, WEAK):
        return
    yield Finding(
        rule="gates-too-closed",
        check="weights",
        status="info",
        statement=f"The largest forget bias is {bias.value:.2f}; to keep a state for "
        f"{case.distance} steps by itself a gate needs {needed:.2f}.",
        consequence="The gates close before the distance is reached, and the gradient does not "
        "arrive from there.",
        metric="forget_bias_max",
        evidence=bias,
        threshold=f"ln(T - 1) = {needed:.2f} for T = {case.distance}",
        source="paper",
        reference="Can recurrent neural networks warp time? (Tallec and Ollivier, 2018)",
        remedy="Initialise forget biases as ln U(1, T - 1) in one of PyTorch's two bias vectors "
        "(zero the other, or they add up), and input biases as their negative.",
        falsified_by="A gradient above 0.001 at this distance: then inputs open the gates.",
    )


RULES = (not_finite, gates_too_closed)
