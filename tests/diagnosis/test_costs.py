"""What attention costs at a length, against closed forms."""

from dataclasses import replace

import pytest

import seqprobe
from seqprobe.contracts import Measurement
from seqprobe.diagnosis.case import Case, Demands
from seqprobe.diagnosis.costs import RULES
from seqprobe.reference.language_models import build

WIDTH, LAYERS, HEADS, SYMBOLS, LENGTH = 16, 2, 2, 8, 64


def case_of(kind):
    """Of its costs alone."""
    model = build(kind, vocab_size=SYMBOLS, width=WIDTH, layers=LAYERS, heads=HEADS, context=LENGTH)
    report = seqprobe.analyze(
        model, data="synthetic:iid", probes=("sequential-depth", "memory"), length=LENGTH, limit=1
    )
    measured = {
        check.id: Measurement(
            "", check.metrics, next(iter(check.metrics)), tuple(map(report.table, check.tables))
        )
        for check in report.checks
    }
    return Case(measured, 20, report.model.family, length=LENGTH)


@pytest.fixture(scope="module")
def attention():
    return case_of("attention")


def found(case):
    return {finding.rule: finding for rule in RULES for finding in rule(case)}


def test_pairs_of_tokens_cost_half_of_the_work_where_the_closed_form_says(attention):
    """For each token 24 d^2 in a layer and 2 d v in the head; for each pair 4 d in a layer."""
    even = (24 * WIDTH**2 * LAYERS + 2 * WIDTH * SYMBOLS) / (4 * WIDTH * LAYERS)
    finding = found(attention)["quadratic-cost"]
    assert finding.evidence.value == pytest.approx(even, rel=1e-3)
    assert finding.statement.startswith(f"From {even:.0f} tokens on, pairs of tokens cost more")
    assert f"at 64 tokens {64 / (64 + even):.0%} of the work" in finding.statement
    assert not finding.remedy
    longer = found(replace(attention, demands=Demands(length=200)))["quadratic-cost"]
    assert f"at 200 tokens {200 / (200 + even):.0%} of the work" in longer.statement
    assert "four times the work" in longer.consequence


def test_keys_and_values_outgrow_a_linear_state_at_half_the_width_of_a_head(attention):
    finding = found(attention)["cache-larger-than-state"]
    assert finding.evidence.value == WIDTH / HEADS / 2
    assert "at 64 tokens 16 times as much is paid for" in finding.statement
    short = replace(attention, demands=Demands(length=WIDTH // HEADS // 2))
    assert "cache-larger-than-state" not in found(short)


def test_a_recurrence_pays_for_neither():
    assert found(case_of("gru")) == {}


def test_nothing_is_said_of_costs_that_were_not_measured():
    assert found(Case({}, 20, "attention", length=LENGTH)) == {}
