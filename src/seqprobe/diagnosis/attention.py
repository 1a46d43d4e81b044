"""Rules about where attention looks."""

from collections.abc import Iterator
from functools import partial

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above, below

MANY_SINKS, COLLAPSED, UNIFORM = 0.3, 0.05, 0.95
SIGNIFICAND = {"bfloat16": 8, "float16": 11, "float32": 24}
"""Bits, the leading one included."""


def sinks(case: Case) -> Iterator[Finding]:
    """Many heads rest on the first token: usual, but it must not be thrown away."""
    rate = case.estimate("attention.sink_rate")
    if rate is None or rate.value is None or not above(rate, MANY_SINKS):
        return
    if rate.null is not None and rate.null.value:  # so short that equal weights look like sinks
        return
    yield Finding(
        rule="attention-sinks",
        check="attention",
        status="info",
        statement=f"{rate.value:.0%} of the heads rest on the first token.",
        consequence="That is usual in trained attention and no defect, but the model depends on "
        "that token being there.",
        metric="sink_rate",
        evidence=rate,
        threshold=f"interval above {MANY_SINKS:.0%} of heads with more than 0.3 of their weight "
        "on the first token",
        source="our convention",
        reference="When attention sink emerges in language models (Gu et al., 2024)",
        remedy="When keys and values are evicted from a cache, keep those of the first tokens.",
        falsified_by="A run without the first token whose loss is the same.",
    )


def entropy_collapse(case: Case, check: str = "attention") -> Iterator[Finding]:
    """Heads see hardly more than one key each."""
    ratio = case.estimate(f"{check}.mean_entropy_ratio")
    if ratio is None or not below(ratio, COLLAPSED):
        return
    yield Finding(
        rule="entropy-collapse",
        check=check,
        status="attention",
        statement=f"Almost all weight of attention is on single keys: its entropy is "
        f"{ratio.value:.1%} of that of equal weights, mean of all heads.",
        consequence="Such heads pass hardly any gradient to their queries and keys, and training "
        "with them is often unstable.",
        metric="mean_entropy_ratio",
        evidence=ratio,
        threshold=f"interval below {COLLAPSED:.0%} of the entropy of equal weights",
        source="our convention",
        reference="Stabilizing transformer training by preventing attention entropy collapse "
        "(Zhai et al., 2023)",
        remedy="Normalise queries and keys, lower the learning rate or lengthen its warm-up; a "
        "model built to look at single keys needs none of it.",
        falsified_by="Other sequences on which the weights are spread.",
    )


def averages_away(case: Case) -> Iterator[Finding]:
    """So many keys with equal weights that one more changes less than rounding.

    With n equal weights one more key changes a mean by about 1 / n^2 of the range of the values,
    while p bits tell apart what differs by 2^-p: above 2^(p / 2) keys it is lost.
    """
    ratio = case.estimate("attention.mean_entropy_ratio")
    bits = min((SIGNIFICAND[kind] for kind in case.dtypes if kind in SIGNIFICAND), default=None)
    keys = case.demands.length or case.length
    if ratio is None or bits is None or not above(ratio, UNIFORM) or keys <= 2 ** (bits / 2):
        return
    yield Finding(
        rule="low-precision-collapse",
        check="attention",
        status="attention",
        statement=f"Attention is nearly uniform ({ratio.value:.0%} of the entropy of equal "
        f"weights), its {keys:,} keys are more than the {2 ** (bits / 2):,.0f} that numbers of "
        f"{bits} significant bits tell apart.",
        consequence="Sequences that differ by a single token give the same mean: that token is "
        "rounded away.",
        metric="mean_entropy_ratio",
        evidence=ratio,
        threshold=f"interval above {UNIFORM:.0%}, and more than 2^({bits}/2) keys",
        source="theory",
        reference="Transformers need glasses! Information over-squashing in language tasks "
        "(Barbero et al., 2024)",
        remedy="Compute the softmax and its sum in float32, and keep the result in it; or train "
        "until heads choose among keys.",
        falsified_by="Two such sequences whose outputs differ in this precision.",
    )


RULES = (sinks, entropy_collapse, partial(entropy_collapse, check="heads"), averages_away)
