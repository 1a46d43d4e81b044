"""What the user needs, held against what was measured: fits or does not fit, because ..."""

from collections.abc import Iterable, Iterator

import numpy as np

from seqprobe.contracts import Estimate, Finding, Status
from seqprobe.diagnosis.case import Case, Demands
from seqprobe.errors import UsageError
from seqprobe.estimators import byte_counts
from seqprobe.estimators.growth import extrapolated


def demands(needs: Iterable[str]) -> Demands:
    """Read `length=8192`, `streaming` and `memory=2GiB`.

    Raises:
        UsageError: something else.
    """
    found = {}
    for need in needs:
        name, equals, value = need.partition("=")
        if name == "streaming" and not equals:
            found[name] = 1
            continue
        number = byte_counts.read(value) if name == "memory" else _whole(value)
        if name not in ("length", "memory") or not number:
            raise UsageError(
                "not a need",
                got=repr(need),
                expected="length=TOKENS, streaming, or memory=BYTES",
                do="Write for example --need length=8192 --need streaming --need memory=2GiB.",
            )
        found[name] = number
    return Demands(found.get("length"), "streaming" in found, found.get("memory"))


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def length(case: Case) -> Iterator[Finding]:
    """Whether the model takes a length, and what that costs."""
    wanted = case.demands.length
    if wanted is None:
        return
    refused = case.demands.refused
    if refused:
        yield _finding(
            "length", "problem", f"Does not fit: {wanted:,} tokens, because {refused}.",
            Estimate(float(wanted), "tokens", exact=True), "the model runs on this length",
            "Extend the position table or the window, or use a model whose state has a fixed size.",
            "Inputs of this length have to be cut, or read in windows that know nothing of one "
            "another.",
        )  # fmt: skip
        return
    seconds = _extrapolated(case, "throughput", "forward_seconds", wanted)
    cost_of_it = f"; one forward takes about {seconds:.3g} seconds" if seconds else ""
    yield _finding(
        "length", "fine", f"Fits: the model runs on {wanted:,} tokens{cost_of_it}.",
        Estimate(float(wanted), "tokens", exact=True), "the model runs on this length", "",
    )  # fmt: skip


def streaming(case: Case) -> Iterator[Finding]:
    """Whether the model can read for ever."""
    if not case.demands.streaming:
        return
    per_token, state = (_metric(case, n) for n in ("cache_bytes_per_token", "state_bytes"))
    if per_token.value is None:
        yield _unknown("streaming", per_token)
    elif per_token.value == 0:
        yield _finding(
            "streaming", "fine", "Fits: nothing grows while it reads; the state takes "
            f"{byte_counts.written(state.value or 0)}.", per_token, "0 bytes per token", "",
        )  # fmt: skip
    else:
        limit = case.demands.memory
        full = ""
        if limit:
            tokens = limit / per_token.value
            full = f"; {byte_counts.written(limit)} are full after {tokens:,.0f} tokens"
        yield _finding(
            "streaming", "problem", "Does not fit: streaming, because every token adds "
            f"{byte_counts.written(per_token.value)}{full}.", per_token, "0 bytes per token",
            "Drop old keys and values (keep the first few), or use a state of fixed size.",
            "It cannot read without end in memory that does not grow.",
        )  # fmt: skip


def memory(case: Case) -> Iterator[Finding]:
    """Whether parameters, state and cache stay within a number of bytes."""
    limit = case.demands.memory
    if limit is None:
        return
    own, state, per_token = (
        _metric(case, n) for n in ("parameter_bytes", "state_bytes", "cache_bytes_per_token")
    )
    if own.value is None or state.value is None or per_token.value is None:
        yield _unknown("memory", next(e for e in (own, state, per_token) if e.value is None))
        return
    tokens = case.demands.length or case.distance
    needed = own.value + state.value + per_token.value * tokens
    fits = needed <= limit
    yield _finding(
        "memory",
        "fine" if fits else "problem",
        f"{'Fits' if fits else 'Does not fit'}: {byte_counts.written(limit)}, because reading "
        f"{tokens:,} tokens step by step takes {byte_counts.written(needed)}, of which parameters "
        f"{byte_counts.written(own.value)}.",
        Estimate(needed, "bytes", exact=True),
        f"parameters, state and cache of one sequence within {limit:,} bytes",
        "" if fits else "Fewer or smaller parameters, keys shared among heads, or a window.",
        "" if fits else "Reading that far runs out of memory.",
    )


def _metric(case: Case, name: str) -> Estimate:
    measurement = case.measurements.get("memory")
    if measurement is None:
        return Estimate.missing("bytes", "memory was not measured")
    return measurement.metrics[name]


def _extrapolated(case: Case, check: str, column: str, length: int) -> float | None:
    """What the law of a measured cost says at a length; None if there is none."""
    measurement = case.measurements.get(check)
    if measurement is None:
        return None
    table = measurement.series[0]
    lengths, values = (np.array(table.column(c), dtype=float) for c in ("length", column))
    found = extrapolated(lengths, values, np.array([float(length)]))
    return None if found is None else float(found[0])


def _unknown(need: str, estimate: Estimate) -> Finding:
    return _finding(
        need, "info", f"Cannot be told whether it fits: {need}, because {estimate.reason}.",
        estimate, "known bytes", "Measure memory, on a model whose cache or state is known.",
    )  # fmt: skip


def _finding(
    need: str,
    status: Status,
    statement: str,
    evidence: Estimate,
    threshold: str,
    remedy: str,
    consequence: str = "",
) -> Finding:
    return Finding(
        rule=f"need-{need}",
        check="memory",
        status=status,
        statement=statement,
        consequence=consequence,
        metric={"streaming": "cache_bytes_per_token"}.get(need, need),
        evidence=evidence,
        threshold=threshold,
        source="theory",
        reference="",
        remedy=remedy,
        falsified_by="A run of this length on this device.",
    )


RULES = (length, streaming, memory)
