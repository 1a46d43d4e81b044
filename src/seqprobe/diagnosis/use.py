"""Rules about what single tokens of the past do to predictions."""

from collections.abc import Iterator

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above, below

SAG_BITS = 0.01


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
        "bits.",
        consequence=f"Distance {case.distance} lies outside what is used, one token at a time.",
        metric="horizon",
        evidence=use,
        threshold=f"interval below {case.distance} steps",
        source="our convention",
        reference="Sharp nearby, fuzzy far away (Khandelwal et al., 2018)",
        remedy="Feed shorter sequences, or train on data in which distant tokens matter.",
        falsified_by="Data with longer dependencies on which the horizon is longer.",
    )


def lost_in_the_middle(case: Case) -> Iterator[Finding]:
    """Predictions use both ends of the sequence more than its middle."""
    sag = case.estimate("position.middle_sag")
    if sag is None or sag.value is None or not above(sag, SAG_BITS):
        return
    yield Finding(
        rule="middle-sags",
        check="position",
        status="attention",
        statement=f"The last predictions use a token in the middle of the sequence {sag.value:.2g} "
        "bits less than one at either end.",
        consequence="What stands in the middle of a long input is easily overlooked.",
        metric="middle_sag",
        evidence=sag,
        threshold=f"interval above {SAG_BITS} bits",
        source="our convention",
        reference="Lost in the middle: how language models use long contexts (Liu et al., 2023)",
        remedy="Put what matters at the beginning or at the end, or train on data whose evidence "
        "lies everywhere.",
        falsified_by="Data on which tokens in the middle move the last predictions as much.",
    )


RULES = (noise_beyond, lost_in_the_middle)
