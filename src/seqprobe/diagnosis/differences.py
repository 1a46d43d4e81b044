"""How much each number of a model differs from that of a baseline."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from seqprobe.contracts import Estimate
from seqprobe.estimators.differences import clear, contrast
from seqprobe.records import OWN_TEXT, Difference
from seqprobe.report import Report


def differences(reports: Sequence[Report]) -> tuple[Difference, ...]:
    """Of all other models from the first one, by check and metric; names have to be distinct."""
    baseline, *others = reports
    found = [each for other in others for each in _between(baseline, other)]
    there = clear([each.chance for each in found])
    return tuple(
        replace(each, clear=sure or _not_zero(each.estimate))
        for each, sure in zip(found, there, strict=True)
    )


def why_unpaired(reports: Sequence[Report]) -> str:
    """Why the numbers of these models do not vary together; empty where they do."""
    first = reports[0] if reports else None
    for other in reports[1:]:
        assert first is not None
        if why := _other_sequences(first, other):
            return f"Differences are not paired, because {why}."
    if any(_without_influence(report) for report in reports):
        return "Differences are not paired: a report does not say what single sequences did."
    return ""


def _between(baseline: Report, other: Report) -> Iterator[Difference]:
    same, known = not _other_sequences(baseline, other), {c.id: c for c in other.checks}
    models = (baseline.model.name, other.model.name)
    for check in baseline.checks:
        theirs = known[check.id].own_metrics if check.id in known else {}
        for name, one in check.own_metrics.items():
            if name in theirs:
                apart = contrast(one, theirs[name], same_sequences=same)
                yield Difference(
                    check.id, name, models, apart.estimate, apart.paired, chance=apart.chance
                )


def _other_sequences(one: Report, other: Report) -> str:
    """Why two models did not read the same sequences in the same order."""
    for what, (first, second) in {
        "data": (one.data.sha256, other.data.sha256),
        "sources": (one.data.source, other.data.source),
        "splits": (one.data.split, other.data.split),
        "tokens": (one.data.tokenizer, other.data.tokenizer),
        "lengths": (_length(one), _length(other)),
        "seeds": (one.environment.seed, other.environment.seed),
    }.items():
        if first != second:
            return f"{other.model.name} and {one.model.name} read different {what}"
    return "each model read text of its own" if one.data.source == OWN_TEXT else ""


def _length(report: Report) -> float:
    return report.data.tokens / max(report.data.sequences, 1)


def _not_zero(found: Estimate) -> bool:
    """An exact difference, or an exact bound of one, away from zero."""
    low, high = (found.value if each is None else each for each in (found.low, found.high))
    return found.exact and ((low or 0.0) > 0 or (high or 0.0) < 0)


def _without_influence(report: Report) -> bool:
    """Earlier versions wrote intervals alone."""
    metrics = [each for check in report.checks for each in check.own_metrics.values()]
    sampled = [each for each in metrics if each.low is not None and not each.exact]
    return bool(sampled) and all(each.spread is None for each in sampled)
