"""What is concluded from kept context, copies and order."""

import pytest

import seqprobe
from seqprobe.contracts import Estimate, Measurement, Null
from seqprobe.diagnosis.case import Case
from seqprobe.diagnosis.context import RULES
from seqprobe.diagnosis.diagnose import diagnose
from seqprobe.reference import zoo

NULL = Null("nothing", 0.0, None, 0.0)


def between(low, value, high, **more):
    return Estimate(value, "", low=low, high=high, n=32, null=NULL, **more)


def case(**metrics):
    """Metrics as `context__copied_at_distance=...`."""
    checks = {}
    for name, estimate in metrics.items():
        check, metric = name.split("__")
        checks.setdefault(check.replace("_", "-"), {})[metric] = estimate
    return Case({id: Measurement("", of, next(iter(of))) for id, of in checks.items()}, 100)


def found(**metrics):
    return [finding for rule in RULES for finding in rule(case(**metrics))]


def needed(high, *, of=256, worth=1.0):
    return {
        "context__effective_length": between(5, 10, high),
        "context__share_of_length": between(5 / of, 10 / of, high / of),
        "context__bits_from_context": between(worth - 0.5, worth, worth + 0.5),
    }


REACH = {"path_length__reach": Estimate(None, "", low=255.0, exact=True, reason="still reached")}


@pytest.mark.parametrize(
    ("metrics", "fires"),
    [
        (needed(63), {"context-unused": "attention"}),
        (needed(99), {"context-unused": "attention"}),
        (needed(100), {}),
        (needed(63, worth=0.5), {}),  # it may be that no context is worth anything
        (needed(120, of=512), {"context-unused": "info"}),
        (needed(128, of=512), {}),
        (
            {
                "position__horizon": between(20, 30, 99),
                "context__loss_at_distance": between(0.015, 0.1, 0.2),
            },
            {"used-together": "info"},
        ),
        (
            {
                "position__horizon": between(20, 30, 101),
                "context__loss_at_distance": between(0.015, 0.1, 0.2),
            },
            {},
        ),
        (
            {
                "position__horizon": between(20, 30, 99),
                "context__loss_at_distance": between(0.014, 0.1, 0.2),
            },
            {},
        ),
        ({"context__copied_at_distance": between(5.1, 6, 7, ceiling=10.0)}, {"copies": "fine"}),
        ({"context__copied_at_distance": between(4.9, 6, 7, ceiling=10.0)}, {"copies": "info"}),
        ({"context__copied_at_distance": between(0.6, 1, 2, ceiling=10.0)}, {"copies": "info"}),
        ({"context__copied_at_distance": between(0.4, 1, 2, ceiling=10.0)}, {}),
        ({"context__copied_at_distance": between(-0.1, 0, 0.4, ceiling=10.0)}, {}),
        (
            {"context__copied_at_distance": between(-0.1, 0, 0.4, ceiling=10.0), **REACH},
            {"reachable-not-copied": "info"},
        ),
        ({"context__copied_at_distance": between(-0.1, 0, 0.6, ceiling=10.0), **REACH}, {}),
        (
            {
                "context__copied_at_distance": between(-0.1, 0, 0.4, ceiling=10.0),
                "path_length__reach": Estimate(99.0, "steps", exact=True),
            },
            {},
        ),
        ({"order__shuffle_excess": between(0.1, 1, 2)}, {"order-claim-invalid": "info"}),
        ({"order__shuffle_excess": between(-0.1, 1, 2)}, {}),
        ({"order__order_unused_beyond": between(4, 8, 16)}, {"order-unused": "info"}),
        ({"order__order_unused_beyond": Estimate.missing("tokens", "not shown", null=NULL)}, {}),
    ],
)
def test_a_rule_fires_where_the_interval_clears_its_threshold(metrics, fires):
    assert {finding.rule: finding.status for finding in found(**metrics)} == fires


def test_the_distance_asked_about_is_named_where_it_lies_beyond():
    (asked,) = found(**needed(63))
    (mostly,) = found(**needed(120, of=512))
    assert "distance 100 lies beyond them" in asked.statement
    assert "distance" not in mostly.statement
    assert mostly.metric == "share_of_length"


def test_every_finding_says_what_to_do_and_what_would_refute_it():
    metrics = {
        **needed(63),
        **REACH,
        "context__copied_at_distance": between(-0.1, 0, 0.4, ceiling=10.0),
        "order__shuffle_excess": between(0.1, 1, 2),
        "order__order_unused_beyond": between(4, 8, 16),
    }
    findings = found(**metrics)
    assert len(findings) == 4
    for finding in findings:
        assert finding.statement.endswith(".")
        assert finding.remedy.endswith(".")
        assert finding.falsified_by.endswith(".")
        assert finding.threshold
    assert {f.rule for f in findings} <= {f.rule for f in diagnose(case(**metrics))}


@pytest.mark.parametrize("data", ["synthetic:iid", None])
def test_nothing_is_concluded_from_a_memoryless_model(data):
    report = seqprobe.analyze(
        zoo.memoryless(), data=data, length=64, limit=16, distance=20, probes=("context", "order")
    )
    assert report.findings == ()
    assert [check.status for check in report.checks] == ["info", "info"]


def test_what_lies_beyond_an_oracle_is_found_unused():
    report = seqprobe.analyze(
        zoo.lag_oracle(7), length=128, limit=16, distance=40, probes=("context", "order")
    )
    rules = {finding.rule: finding for finding in report.findings}
    assert set(rules) == {"context-unused", "order-claim-invalid"}
    assert "the last 8 tokens" in rules["context-unused"].statement
