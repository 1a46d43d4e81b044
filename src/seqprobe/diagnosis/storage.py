"""Rules that hold storage against sensitivity and use."""

from collections.abc import Iterator

from seqprobe.contracts import Estimate, Finding
from seqprobe.diagnosis.case import Case, above, below

STORED_SHARE, UNUSED_BITS, TRAINABLE = 0.1, 0.001, 1e-2


def _nothing_found(bits: Estimate) -> bool:
    null = (bits.null.high if bits.null else None) or 0.0
    return bits.low is not None and bits.low <= max(null, 0.0)


def trainable_but_not_stored(case: Case) -> Iterator[Finding]:
    """The gradient arrives from there, and yet nothing of it is in the state.

    Only where a state is all that is carried: attention can look the token up again.
    """
    if case.family != "recurrent":
        return
    bits = case.estimate("bottleneck.bits_at_distance")
    there = case.estimate("gradient-decay.at_distance")
    if bits is None or not _nothing_found(bits) or not above(there, TRAINABLE):
        return
    yield Finding(
        rule="trainable-not-stored",
        check="bottleneck",
        status="attention",
        statement=f"The gradient reaches distance {case.distance}, but no information about that "
        "symbol could be read from the state: it is data or capacity that stop it, not vanishing.",
        metric="bits_at_distance",
        evidence=bits,
        threshold=f"bits inside the null band, gradient above {TRAINABLE:g}",
        source="our convention",
        reference="A theory of usable information under computational constraints "
        "(Xu et al., 2020)",
        remedy="Train on data that needs this distance; if it does already, enlarge the state.",
        falsified_by="A stronger decoder, or more sequences, that finds it in the state.",
    )  # fmt: skip


def stored_but_unused(case: Case) -> Iterator[Finding]:
    """The state holds it, the prediction does not care."""
    bits, use = case.estimate("bottleneck.bits_at_distance"), case.estimate("position.at_distance")
    if bits is None or bits.ceiling is None or not above(bits, STORED_SHARE * bits.ceiling):
        return
    if use is None or not below(use, UNUSED_BITS):
        return
    yield Finding(
        rule="stored-unused",
        check="bottleneck",
        status="attention",
        statement=f"The state holds at least {bits.value:.2f} bits about the symbol "
        f"{case.distance} steps back, but replacing that token moves the prediction by "
        f"{use.value:.1e} bits only: stored, and not used.",
        metric="bits_at_distance",
        evidence=bits,
        threshold=f"bits above {STORED_SHARE:.0%} of the ceiling, use below {UNUSED_BITS} bits",
        source="our convention",
        reference="Sharp nearby, fuzzy far away (Khandelwal et al., 2018)",
        remedy="The memory is there: look at the read-out and at whether training rewards it.",
        falsified_by="Data on which that token does move the prediction.",
    )


def noise_beyond(case: Case) -> Iterator[Finding]:
    """Single tokens far back no longer matter, although the input is longer."""
    use = case.estimate("position.horizon")
    if use is None or not below(use, case.distance):
        return
    yield Finding(
        rule="unused-beyond",
        check="position",
        status="info",
        statement=f"Beyond {use.value:.0f} steps no single token moves the prediction by 0.01 "
        f"bits; distance {case.distance} lies outside what is used.",
        metric="horizon",
        evidence=use,
        threshold=f"interval below {case.distance} steps",
        source="our convention",
        reference="Sharp nearby, fuzzy far away (Khandelwal et al., 2018)",
        remedy="Feed shorter sequences, or train on data in which distant tokens matter.",
        falsified_by="Data with longer dependencies on which the horizon is longer.",
    )


RULES = (trainable_but_not_stored, stored_but_unused, noise_beyond)
