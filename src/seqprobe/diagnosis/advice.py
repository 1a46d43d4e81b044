"""Which model to use when: what each purpose asks for, held against one measured number."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import methodcaller

from seqprobe.contracts import Estimate, Series
from seqprobe.records import OWN_TEXT, Advice
from seqprobe.report import Report

NOBODY = "No model was measured to be ahead of the others."
ALIKE = 1.01  # exact costs within this factor count as the same
NEEDS = {
    "need-length": "the length that you need",
    "need-streaming": "the streaming that you need",
    "need-memory": "the memory that you have",
}


def _any(_found: Estimate) -> bool:
    return True


def _none(found: Estimate) -> bool:
    return found.value == 0


def _some(found: Estimate) -> bool:
    return found.low is not None and found.low > 0


@dataclass(frozen=True)
class _Purpose:
    """What is asked for, and the number that tells; `most`: it is good to have much of it.

    `enough`: whether the number is good enough by itself.
    """

    words: str
    metric: str
    of: Callable[[Report], Estimate | None]
    most: bool = False
    enough: Callable[[Estimate], bool] = _any


def advice(reports: Sequence[Report]) -> tuple[Advice, ...]:
    """A line for each purpose that at least two models were measured for; names are distinct.

    A model is left out where another one is better beyond both of their intervals. Numbers from the
    same sequences lie apart by chance more rarely than the level of the intervals says.
    """
    if len(reports) < 2:
        return ()
    told = [_fitting(rule, words, reports) for rule, words in NEEDS.items()]
    told += [_ahead(purpose, reports) for purpose in _purposes(reports)]
    return tuple(line for line in told if len(line.evidence) > 1)


def headline(advice: Sequence[Advice]) -> str:
    """What each group of models is ahead in, in one sentence."""
    found: dict[tuple[str, ...], list[str]] = {}
    for line in advice:
        if line.decided:
            found.setdefault(line.models, []).append(line.purpose)
    said = [f"{listed(models)} in {listed(what)}" for models, what in found.items()]
    return f"Ahead by what was measured: {'; '.join(said)}." if said else NOBODY


def _fitting(rule: str, words: str, reports: Sequence[Report]) -> Advice:
    """Which models fit what the user asked for; those of which it is not known are left out."""
    found = {
        report.model.name: finding
        for report in reports
        for finding in report.findings
        if finding.rule == rule and finding.status in ("fine", "problem")
    }
    fit = tuple(name for name, finding in found.items() if finding.status == "fine")
    return Advice(words, f"memory.{rule}", fit, {name: f.evidence for name, f in found.items()})


def _purposes(reports: Sequence[Report]) -> Iterator[_Purpose]:
    if _read_the_same(reports):
        steps = reports[0].distance
        for words, metric in (
            (f"use of the past {steps} steps back", "position.at_distance"),
            (f"copying over {steps} steps", "context.copied_at_distance"),
        ):
            yield _Purpose(words, metric, methodcaller("metric", metric), most=True, enough=_some)
    metric = "memory.cache_bytes_per_token"
    yield _Purpose("streams without end", metric, _unending, enough=_none)
    length = _length(reports)
    words = f"memory at {length:,} tokens"
    yield _Purpose(words, "memory.carried", lambda report: _carried(report, length))
    timed = reports if _on_the_same_machine(reports) else ()
    for at in _ends(_lengths(timed, "throughput", "forward_seconds")):
        yield _costing(f"speed at {at:,} tokens", "throughput", "forward_seconds", at)
    for at in _lengths(timed, "throughput", "training_seconds")[-1:]:
        yield _costing(f"training speed at {at:,} tokens", "throughput", "training_seconds", at)
    for at in _lengths(reports, "memory", "training")[-1:]:
        yield _costing(f"training memory at {at:,} tokens", "memory", "training", at)


def _read_the_same(reports: Sequence[Report]) -> bool:
    """Bits of other texts, or per other tokens, are no match."""
    read = {(r.distance, r.data.source, r.data.sha256, r.data.tokenizer) for r in reports}
    return len(read) == 1 and reports[0].data.source != OWN_TEXT


def _on_the_same_machine(reports: Sequence[Report]) -> bool:
    where = [report.environment for report in reports]
    return len({(each.platform, each.device, each.dtype, each.threads) for each in where}) == 1


def _ahead(purpose: _Purpose, reports: Sequence[Report]) -> Advice:
    """Those that no other one is better than, of the models whose number is known."""
    found = {report.model.name: purpose.of(report) for report in reports}
    known = {name: each.brief() for name, each in found.items() if each and _is_known(each)}
    sides = {name: _worst_and_best(each, most=purpose.most) for name, each in known.items()}
    bar = max((worst for worst, _ in sides.values()), default=-math.inf)
    ahead = [n for n, (_, best) in sides.items() if best >= bar and purpose.enough(known[n])]
    return Advice(purpose.words, purpose.metric, tuple(ahead), known)


def _is_known(found: Estimate) -> bool:
    """A bound is known, and so is that there is exactly nothing."""
    return found.exact or any(end is not None for end in (found.value, found.low, found.high))


def _worst_and_best(found: Estimate, *, most: bool) -> tuple[float, float]:
    """The ends of an interval, as numbers of which more is better."""
    low, high = -math.inf, math.inf
    if found.exact:
        if found.value is None:
            return -math.inf, -math.inf
        low, high = found.value / ALIKE, found.value
    low = low if found.low is None else found.low
    high = high if found.high is None else found.high
    return (low, high) if most else (-high, -low)


def _unending(report: Report) -> Estimate | None:
    """Bytes for each token, where no length is refused."""
    refused = _refused(report)
    if refused is not None:
        return Estimate.missing("bytes", f"it takes no {refused:,.0f} tokens", exact=True)
    return report.metric("memory.cache_bytes_per_token")


def _refused(report: Report) -> float | None:
    found = report.metric("window.refused_length")
    return found.value if found else None


def _carried(report: Report, length: int) -> Estimate | None:
    """Bytes of state and cache after so many tokens."""
    refused = _refused(report)
    if refused is not None and refused <= length:
        return Estimate.missing("bytes", f"it takes no {refused:,.0f} tokens", exact=True)
    state, each = (report.metric(f"memory.{n}") for n in ("state_bytes", "cache_bytes_per_token"))
    if state is None or each is None or state.value is None or each.value is None:
        return None
    return Estimate(state.value + each.value * length, "bytes", exact=True)


def _length(reports: Sequence[Report]) -> int:
    """What the user needs; else what was read."""
    needs = [f.evidence.value for r in reports for f in r.findings if f.rule == "need-length"]
    read = [r.data.tokens // max(r.data.sequences, 1) for r in reports]
    return int(max((need for need in needs if need), default=max(read)))


def _costing(words: str, check: str, column: str, length: int) -> _Purpose:
    return _Purpose(words, f"{check}.{column}", lambda report: _cost(report, check, column, length))


def _cost(report: Report, check: str, column: str, length: int) -> Estimate | None:
    """A cell of a table over length; timings have an interval beside them."""
    table = _table(report, check, column)
    if table is None or length not in table.column("length"):
        return None
    row = table.column("length").index(length)
    names = [each.name for each in table.columns]
    way = column.removesuffix("_seconds")
    timed = f"{way}_low" in names
    value, *ends = (
        table.column(name)[row] for name in (column, *((f"{way}_low", f"{way}_high") * timed))
    )
    if value is None:
        return None
    return Estimate(value, "seconds", *ends) if timed else Estimate(value, "bytes", exact=True)


def _table(report: Report, check: str, column: str) -> Series | None:
    found = (t for t in report.tables if t.id == check and column in [c.name for c in t.columns])
    return next(found, None)


def _lengths(reports: Sequence[Report], check: str, column: str) -> list[int]:
    """At which all models were measured that have this table at all."""
    tables = [found for report in reports if (found := _table(report, check, column)) is not None]
    each = [{*table.column("length")} for table in tables]
    return sorted(set.intersection(*each)) if each else []


def _ends(lengths: Sequence[int]) -> list[int]:
    return sorted({lengths[0], lengths[-1]}) if lengths else []


def listed(words: Sequence[str]) -> str:
    """With an "and" before the last one.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), words[-1]])
