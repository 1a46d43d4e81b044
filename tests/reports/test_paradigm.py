"""Marks of the paradigm table: what textbooks expect, held against intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from seqprobe.contracts import Estimate, Null
from seqprobe.report import Report
from seqprobe_reports.expectation import over, under
from seqprobe_reports.paradigm import FAMILIES, ROWS, unexpected
from seqprobe_reports.subjects import Subject

NOTHING = Null("nothing", 0.0)


def sampled(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, "", low, high, n=8, null=NOTHING)


@pytest.mark.parametrize(
    ("found", "judged"),
    [
        (sampled(1.1, 2), "as expected"),
        (sampled(0.1, 0.9), "not as expected"),
        (sampled(0.5, 1.5), "cannot be told"),
        (Estimate(1.5, "", exact=True), "as expected"),
        (Estimate(0.5, "", exact=True), "not as expected"),
        (Estimate(1.5, ""), "cannot be told"),
        (Estimate.missing("", "no end", low=2.0), "as expected"),
        (Estimate.missing("", "too few"), "cannot be told"),
    ],
)
def test_the_whole_interval_decides(found: Estimate, judged: str) -> None:
    assert over(1).judged(found, distance=100) == judged
    swapped = {"as expected": "not as expected", "not as expected": "as expected"}
    assert under(1).judged(found, distance=100) == swapped.get(judged, judged)


def test_a_border_may_follow_the_distance_asked_about() -> None:
    assert under(0.1, of_distance=True).words(80) == "below 8"
    assert under(0.1, of_distance=True).judged(sampled(7, 9), 80) == "cannot be told"
    assert under(0.1, of_distance=True).judged(sampled(7, 9), 100) == "as expected"


def with_family(report: Report, family: str) -> Subject:
    return Subject("m", replace(report, model=replace(report.model, family=family)))


def test_every_expectation_belongs_to_a_metric_of_its_row() -> None:
    assert all({*row.expected} <= {*row.metrics} for row in ROWS)
    assert sum(len(row.expected) for row in ROWS) >= 8


def test_the_same_numbers_are_judged_by_family(named: Callable[..., Report]) -> None:
    row = next(row for row in ROWS if row.claim == "Path length between positions")
    report = named()
    exponent = report["path-length"].metrics["exponent"]
    assert exponent.value == 1
    marks = [row.mark("path-length.exponent", with_family(report, f)) for f in FAMILIES]
    assert [mark.judgement for mark in marks if mark] == ["as expected", "not as expected"]
    assert row.mark("path-length.exponent", with_family(report, "hybrid (attention)")) is None
    assert row.mark("path-length.at_distance", with_family(report, "recurrent")) is None
    assert "path-length.exponent" in unexpected(with_family(report, "attention"))
    assert unexpected(with_family(report, "hybrid (attention)")) == []


def test_what_is_expected_of_other_families_is_said_where_they_are(
    named: Callable[..., Report],
) -> None:
    report = named()
    row = ROWS[0]
    recurrent = with_family(report, "recurrent")
    assert [*row.said([recurrent])] == ["recurrent", "attention"]
    state_space = with_family(report, "state space")
    assert "parallel scan" in row.said([recurrent, state_space])["state space"]
    assert all({*row.others} <= {*FAMILIES} for row in ROWS)
    known = {family for row in ROWS for each in row.expected.values() for family in each}
    assert known == {*FAMILIES}
