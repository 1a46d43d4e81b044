"""Rules about where attention looks."""

from collections.abc import Iterator
from functools import partial

from seqprobe.contracts import Finding
from seqprobe.diagnosis.case import Case, above, below

MANY_SINKS, COLLAPSED = 0.3, 0.05


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
        statement=f"{rate.value:.0%} of the heads rest on the first token. That is usual in "
        "trained attention and no defect, but the model depends on that token being there.",
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
        statement=f"The entropy of attention is {ratio.value:.1%} of that of equal weights, mean "
        "of all heads: almost all weight is on single keys. Such heads pass hardly any gradient "
        "to their queries and keys, and training with them is often unstable.",
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


RULES = (sinks, entropy_collapse, partial(entropy_collapse, check="heads"))
