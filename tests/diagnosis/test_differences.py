"""Differences between whole reports: paired where sequences are the same, and said where not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import seqprobe
from seqprobe.contracts import Estimate, Null
from seqprobe.diagnosis.comparison import over_steps, side_by_side
from seqprobe.diagnosis.highlights import changed_status, clearest
from seqprobe.errors import UsageError
from seqprobe.records import OWN_TEXT, Difference, Steps
from seqprobe.reference.language_models import build
from seqprobe.report import Comparison, Report

ASKED = {"data": "synthetic:iid", "length": 32, "limit": 16, "probes": ("context", "memory")}


def measured(seed: int, **asked) -> Report:
    torch.manual_seed(seed)
    return seqprobe.analyze(build("lstm", vocab_size=8, width=8, layers=1), **(ASKED | asked))


@pytest.fixture(scope="module")
def pair() -> list[Report]:
    return [named(measured(seed), name) for seed, name in ((0, "a.pt"), (1, "b.pt"))]


def named(report: Report, name: str) -> Report:
    return replace(report, model=replace(report.model, name=name))


def of(comparison: Comparison, check: str, metric: str) -> Difference:
    (found,) = [d for d in comparison.differences if (d.check, d.metric) == (check, metric)]
    return found


def test_models_that_read_the_same_are_paired_and_means_as_in_a_paired_t_test(pair):
    comparison = side_by_side(pair)
    found = of(comparison, "context", "bits_from_context")
    assert comparison.caution == ""
    assert found.paired
    assert found.models == ("a.pt", "b.pt")
    one, other = (
        e.value + np.array(e.influence)
        for e in (report["context"].metrics["bits_from_context"] for report in pair)
    )
    low, high = stats.ttest_rel(other, one).confidence_interval()
    assert (found.estimate.low, found.estimate.high) == pytest.approx((low, high), rel=1e-2)


def test_exact_numbers_differ_exactly_and_baselines_are_left_out(pair):
    comparison = side_by_side(pair)
    assert of(comparison, "memory", "parameter_bytes").estimate == Estimate(
        0.0, "bytes", exact=True
    )
    assert not of(comparison, "memory", "parameter_bytes").clear
    assert {d.metric for d in comparison.differences if d.check == "context"} == {
        *pair[0]["context"].own_metrics
    }


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r: replace(r, data=replace(r.data, tokenizer="words")), "read different tokens"),
        (lambda r: replace(r, data=replace(r.data, sha256="ef")), "read different data"),
        (lambda r: replace(r, data=replace(r.data, tokens=64)), "read different lengths"),
        (lambda r: replace(r, environment=replace(r.environment, seed=1)), "different seeds"),
    ],
)
def test_other_sequences_are_not_paired_and_it_is_said(pair, change, why):
    comparison = side_by_side([pair[0], change(pair[1])])
    assert why in comparison.caution
    assert not any(each.paired for each in comparison.differences)
    assert of(comparison, "context", "bits_from_context").estimate.low is not None


def test_text_of_their_own_is_not_the_same(pair):
    own = [replace(r, data=replace(r.data, source=OWN_TEXT)) for r in pair]
    assert "text of its own" in side_by_side(own).caution


def test_reports_without_influences_are_not_paired_and_it_is_said(pair):
    old = pair[1].to_dict()
    for check in old["checks"]:
        for estimate in check["metrics"].values():
            del estimate["influence"], estimate["spread"]
    comparison = side_by_side([pair[0], Report.from_dict(old)])
    assert "does not say what single sequences did" in comparison.caution
    assert not of(comparison, "context", "bits_from_context").paired


def test_any_model_may_be_the_baseline(pair):
    forward = of(side_by_side(pair), "context", "bits_from_context")
    back = of(side_by_side(pair, "b.pt"), "context", "bits_from_context")
    assert back.models == ("b.pt", "a.pt")
    assert back.estimate.value == -forward.estimate.value
    assert back.estimate.low == -forward.estimate.high


def test_a_baseline_that_is_not_there_is_refused(pair):
    with pytest.raises(
        UsageError, match=r"got 'c.pt'; expected one of a.pt, b.pt. Give --baseline"
    ):
        side_by_side(pair, "c.pt")
    model = build("lstm", vocab_size=8, width=8, layers=1)
    with pytest.raises(UsageError, match="no model of that name to be the baseline"):
        seqprobe.compare(model, baseline="none", **ASKED)


def test_models_of_one_name_have_numbers(pair):
    comparison = side_by_side([named(report, "x") for report in pair])
    assert of(comparison, "context", "bits_from_context").models == ("x (1)", "x (2)")
    assert comparison.reports[0].model.name == "x"


def test_of_a_training_the_last_is_held_against_the_first(pair):
    between = named(pair[0], "c.pt")
    comparison = over_steps([pair[0], between, pair[1]], Steps((1, 2, 3), "their names"))
    assert {each.models for each in comparison.differences} == {("a.pt", "b.pt")}


def test_they_stand_in_the_json(pair, tmp_path):
    comparison = side_by_side(pair)
    again = seqprobe.report.load_reports(comparison.save(tmp_path / "both.json"))
    assert again.differences == comparison.differences
    assert again.advice == comparison.advice


def with_status(report: Report, **statuses) -> Report:
    checks = [replace(c, status=statuses.get(c.id, c.status)) for c in report.checks]
    return replace(report, checks=tuple(checks))


def test_the_gravest_change_of_status_comes_first(pair):
    one = with_status(pair[0], context="attention", memory="info")
    other = with_status(pair[1], context="info", memory="problem")
    assert changed_status(Comparison((one, other))) == [
        ("memory", {"a.pt": "info", "b.pt": "problem"}),
        ("context", {"a.pt": "attention", "b.pt": "info"}),
    ]
    assert changed_status(Comparison((one, one))) == []


def test_only_clear_differences_are_highlights_and_the_telling_ones_come_first():
    def of(metric: str, *, clear: bool) -> Difference:
        found = Estimate(1.0, "steps", 0.5, 1.5, n=32, null=Null("none", 0.0))
        return Difference(*metric.split("."), ("a", "b"), found, clear=clear)

    found = [
        of("memory.state_bytes", clear=True),
        of("position.horizon", clear=True),
        of("gradient-decay.horizon", clear=False),
        of("context.copied_bits", clear=True),
    ]
    assert clearest(found) == [[found[1]], [found[0]]]
    assert clearest(found, most=1) == [[found[1]]]
