"""Several models side by side: what differs, by how much, and what follows for their use."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from seqprobe.diagnosis.advice import advice
from seqprobe.diagnosis.crossovers import crossovers
from seqprobe.diagnosis.differences import differences, why_unpaired
from seqprobe.errors import UsageError
from seqprobe.names import distinct
from seqprobe.records import Steps
from seqprobe.report import Comparison, Report, load_reports


def side_by_side(reports: Sequence[Report], baseline: str | None = None) -> Comparison:
    """The reports, and all that can be said of them together.

    Models bear the names of their files, numbered where two are the same. Differences are those
    from `baseline`, by its name; from the first model without one.

    Raises:
        UsageError: no model of that name.
    """
    named = _named(reports)
    first = place_of(baseline, [report.model.name for report in named])
    others = [report for index, report in enumerate(named) if index != first]
    return Comparison(
        tuple(reports),
        crossovers(named),
        differences=differences([named[first], *others]) if named else (),
        advice=advice(named),
        caution=why_unpaired(named),
    )


def over_steps(reports: Sequence[Report], steps: Steps) -> Comparison:
    """One model at several times of its training; its last number less its first."""
    first, last = _named([reports[0], reports[-1]])
    apart = differences([first, last]) if len(reports) > 1 else ()
    return Comparison(tuple(reports), steps=steps, differences=apart)


def comparison_of(paths: Sequence[str | Path], baseline: str | None = None) -> Comparison:
    """Put reports that were written earlier side by side, if they measured the same.

    Args:
        paths: of JSON files or pages, each with a report or a comparison.
        baseline: as in `side_by_side`.
    """
    read = [load_reports(path) for path in paths]
    reports = [
        r for each in read for r in (each.reports if isinstance(each, Comparison) else [each])
    ]
    _same_data(reports)
    _same_versions(reports)
    return side_by_side(reports, baseline)


def place_of(baseline: str | None, names: Sequence[str]) -> int:
    """Which of the models it is.

    Raises:
        UsageError: none of them.
    """
    if baseline is None:
        return 0
    if baseline not in names:
        raise UsageError(
            "no model of that name to be the baseline",
            got=repr(baseline),
            expected=f"one of {', '.join(names)}",
            do="Give --baseline the name of one of the files.",
        )
    return names.index(baseline)


def _named(reports: Sequence[Report]) -> list[Report]:
    names = distinct(report.model.name for report in reports)
    return [
        replace(report, model=replace(report.model, name=name))
        for report, name in zip(reports, names, strict=True)
    ]


def _same_data(reports: Sequence[Report]) -> None:
    for what in ("source", "sha256"):
        found = {getattr(report.data, what) for report in reports}
        if len(found) > 1:
            raise UsageError(
                "the reports were measured on different data",
                got=" and ".join(sorted(found)),
                expected="the same data in all of them",
                do="Measure all models again with the same --data.",
            )


def _same_versions(reports: Sequence[Report]) -> None:
    """A check that measures something else under the same name is no match."""
    versions: dict[str, set[int]] = {}
    for report in reports:
        for check in report.checks:
            versions.setdefault(check.id, set()).add(check.version)
    for id, found in versions.items():
        if len(found) > 1:
            raise UsageError(
                f"the reports have different versions of {id}",
                got=f"versions {' and '.join(map(str, sorted(found)))}",
                expected="the same version of each check in all of them",
                do="Measure the older ones again with this version of SeqProbe.",
            )
