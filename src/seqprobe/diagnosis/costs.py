"""Rules about what attention costs at the length asked about."""

import math
from collections.abc import Iterator

import numpy as np

from seqprobe.contracts import Estimate, Finding
from seqprobe.diagnosis.case import Case
from seqprobe.estimators.growth import Law, cost, law

NOTICED, CLOSE = 0.01, 0.01


def quadratic(case: Case) -> Iterator[Finding]:
    """From some length on, pairs of tokens cost more than all else together."""
    found = _flops(case)
    if found is None:
        return
    fitted, longest = found
    length = case.demands.length or longest
    even = _even(fitted)
    if even is None or _share_of_pairs(fitted, longest) < NOTICED:
        return
    share = _share_of_pairs(fitted, length)
    yield Finding(
        rule="quadratic-cost",
        check="sequential-depth",
        status="info",
        statement=f"From {even:,.0f} tokens on, pairs of tokens cost more FLOPs than all else; at "
        f"{length:,} tokens {share:.0%} of the work is paid for them.",
        consequence="Beyond that length twice the text costs nearly four times the work."
        if length > even
        else "Below that length the work grows with the text, no faster.",
        metric="flops",
        evidence=Estimate(even, "tokens", exact=True),
        threshold="the quadratic part of the FLOPs above the rest",
        source="theory",
        reference="Attention is all you need (Vaswani et al., 2017), table 1",
        remedy="A window, or layers with a state of fixed size in place of some of attention."
        if length > even
        else "",
        falsified_by="Counted FLOPs of longer sequences that lie off this law; and time, which "
        "`throughput` measures, need not follow FLOPs.",
    )


def _flops(case: Case) -> tuple[Law, int] | None:
    """The law of the counted FLOPs, where they follow one, and the longest length counted."""
    measured = case.measurements.get("sequential-depth")
    if measured is None or not measured.series:
        return None
    table = measured.series[0]
    lengths, flops = (np.array(table.column(c), dtype=np.float64) for c in ("length", "flops"))
    fitted = law(lengths, flops)
    if fitted is None or not np.allclose(cost(fitted, lengths), flops, rtol=CLOSE):
        return None
    return fitted, int(lengths[-1])


def _even(fitted: Law) -> float | None:
    """The length at which c n^2 = a + b n; None if nothing grows with the square."""
    a, b, c = map(float, fitted)
    return (b + math.sqrt(b * b + 4 * a * c)) / (2 * c) if c > 0 else None


def _share_of_pairs(fitted: Law, length: float) -> float:
    a, b, c = map(float, fitted)
    return c * length**2 / (a + b * length + c * length**2)


def state_instead(case: Case) -> Iterator[Finding]:
    """From some length on a linear-attention state would be smaller than keys and values."""
    state, cache = (
        case.estimate(f"memory.{name}") for name in ("linear_state_bytes", "cache_bytes_per_token")
    )
    if state is None or not state.value or cache is None or not cache.value:
        return
    even, length = state.value / cache.value, case.demands.length or case.length
    if length <= even:
        return
    yield Finding(
        rule="cache-larger-than-state",
        check="memory",
        status="info",
        statement=f"From {even:,.0f} tokens on, keys and values take more memory than the state of "
        f"linear attention would; at {length:,} tokens {length / even:.3g} times as much is paid "
        "for.",
        consequence="That buys looking up every token exactly; where `context` finds it unused, it "
        "buys nothing.",
        metric="linear_state_bytes",
        evidence=Estimate(even, "tokens", exact=True),
        threshold=f"{length:,} tokens, above width of a head / 2",
        source="theory",
        reference="Transformers are RNNs: fast autoregressive transformers with linear attention "
        "(Katharopoulos et al., 2020)",
        remedy="If memory is short: fewer heads of keys and values, a window, or a linear layer in "
        "place of some.",
        falsified_by="A task of exact recall over this length that a state of that size solves.",
    )


RULES = (quadratic, state_instead)
