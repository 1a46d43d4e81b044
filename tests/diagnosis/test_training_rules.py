"""Rules of training fire where an interval clears the threshold, and on nothing else."""

import math

import pytest

from seqprobe.contracts import Estimate, Measurement, Null
from seqprobe.diagnosis.case import Case
from seqprobe.diagnosis.diagnose import diagnose

NULL = Null("nothing", 0.0)


def fired(check, metric, low, high, *, family="recurrent", distance=100):
    estimate = Estimate((low + high) / 2, "", low=low, high=high, n=8, null=NULL)
    case = Case({check: Measurement("", {metric: estimate}, metric)}, distance, family)
    found = diagnose(case)
    assert {each.check for each in found} <= {check}
    return {each.rule: each for each in found if each.status in ("problem", "attention")}


@pytest.mark.parametrize(
    ("check", "metric", "low", "high", "rules"),
    [
        ("gradient-draw", "at_distance", 0, 4e-7, {"gradient-vanished"}),
        ("gradient-draw", "at_distance", 0, 5e-4, {"gradient-vanished"}),
        ("gradient-draw", "at_distance", 0, 6e-4, set()),
        ("gradient-decay", "at_distance", 0, 6e-4, {"gradient-vanished"}),
        ("gradient-draw", "rate", -0.1, -0.06, {"gradient-explodes"}),
        ("gradient-draw", "rate", -0.1, -0.04, set()),
        ("heads", "mean_entropy_ratio", 0.01, 0.04, {"entropy-collapse"}),
        ("heads", "mean_entropy_ratio", 0.01, 0.06, set()),
        ("heads", "lowest_entropy_ratio", 0.0, 0.01, set()),
        ("states", "saturated_gates", 0.91, 0.99, {"gates-saturated"}),
        ("states", "saturated_gates", 0.89, 0.99, set()),
        ("loss-gradient", "early_ratio", 110, 300, {"loss-gradient-grows"}),
        ("loss-gradient", "early_ratio", 90, 300, set()),
        ("loss-gradient", "not_finite", 0.1, 0.5, {"loss-gradient-not-finite"}),
        ("loss-gradient", "not_finite", 0.0, 0.5, set()),
    ],
)
def test_rules_fire_beyond_their_threshold(check, metric, low, high, rules):
    found = fired(check, metric, low, high)
    assert set(found) == rules
    assert all(each.falsified_by and each.remedy and each.threshold for each in found.values())


def test_one_random_direction_lies_below_the_truth():
    """By exp E ln |z| for a normal z, which is exp(-(gamma + ln 2) / 2)."""
    (found,) = fired("gradient-draw", "at_distance", 0, 1e-8).values()
    assert found.status == "problem"
    assert found.threshold == f"interval below {1e-6 * math.exp(-0.6351814):.2g}"


def test_attention_does_not_explode():
    for check, metric, low, high in (
        ("gradient-decay", "rate", -0.2, -0.1),
        ("loss-gradient", "early_ratio", 200, 300),
    ):
        assert not fired(check, metric, low, high, family="attention")
        assert fired(check, metric, low, high, family="hybrid")


@pytest.mark.parametrize(
    ("distance", "tolerated"), [(100, 0.9), (101, 0.9 + 0.1 / 99), (1000, 0.99018)]
)
def test_gates_may_be_as_open_as_chrono_initialisation_makes_them(distance, tolerated):
    for share, rings in ((tolerated - 1e-4, False), (tolerated + 1e-4, True)):
        assert bool(fired("states", "saturated_gates", share, 1.0, distance=distance)) == rings
