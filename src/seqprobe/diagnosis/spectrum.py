"""Rules about the spectrum of the Jacobian."""

from collections.abc import Iterator

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above, below

CHAOTIC, PRIMACY = 0.05, 10.0
LYAPUNOV = "On Lyapunov Exponents for RNNs (Vogt et al., 2022)"


def chaotic(case: Case) -> Iterator[Finding]:
    """Small changes of the state grow."""
    exponent = case.estimate("jacobian-spectrum.lyapunov_max")
    if exponent is None or not above(exponent, CHAOTIC):
        return
    yield Finding(
        rule="state-chaotic",
        check="jacobian-spectrum",
        status="attention",
        statement=f"Small changes of the state grow by a factor e every "
        f"{1 / (exponent.value or 1):.3g} steps: the state is chaotic on this input.",
        consequence="Two nearly equal pasts end in different states: little can be kept, and "
        "gradients explode.",
        metric="lyapunov_max",
        evidence=exponent,
        threshold=f"interval above {CHAOTIC:g} nats per step",
        source="our convention",
        reference=LYAPUNOV,
        remedy="Lower the gain of the recurrent weights, or regularise exponents towards zero.",
        falsified_by="An exponent at or below zero on longer sequences.",
    )


def forgets(case: Case) -> Iterator[Finding]:
    """The slowest direction of the state has lost a factor e before the distance asked about."""
    exponent = case.estimate("jacobian-spectrum.lyapunov_max")
    if exponent is None or not below(exponent, -1 / case.distance):
        return
    yield Finding(
        rule="state-forgets",
        check="jacobian-spectrum",
        status="info",
        statement=f"Even the slowest direction of the state loses a factor e every "
        f"{-1 / (exponent.value or -1):.3g} steps.",
        consequence=f"What the state holds has faded before distance {case.distance}.",
        metric="lyapunov_max",
        evidence=exponent,
        threshold=f"interval below -1/{case.distance} nats per step",
        source="theory",
        reference=LYAPUNOV,
        remedy="Open the gates that keep the state (forget bias, chrono initialisation), or "
        "initialise recurrent weights orthogonally.",
        falsified_by="A longer time constant on inputs that have to be kept.",
    )


def first_position_dominates(case: Case) -> Iterator[Finding]:
    """Depth squeezes the influence of all but the first positions."""
    primacy = case.estimate("jacobian-spectrum.primacy")
    if primacy is None or not above(primacy, PRIMACY):
        return
    yield Finding(
        rule="primacy",
        check="jacobian-spectrum",
        status="attention",
        statement=f"The first position acts on the last one {primacy.value:.0f} times as strongly "
        "as the median position does.",
        consequence="Depth favours the beginning: what lies in between is squeezed out.",
        metric="primacy",
        evidence=primacy,
        threshold=f"interval above {PRIMACY:g}",
        source="our convention",
        reference="On the Emergence of Position Bias in Transformers (Wu et al., 2025)",
        remedy="Residual connections, positional decay, or fewer layers; keep what matters near.",
        falsified_by="A ratio near one with another first token.",
    )


RULES = (chaotic, forgets, first_position_dominates)
