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
        ("heads", "mean_entropy_ratio", 0.01, 0.04, {"entropy-collapse"}),
        ("heads", "mean_entropy_ratio", 0.01, 0.06, set()),
        ("heads", "lowest_entropy_ratio", 0.0, 0.01, set()),
        ("states", "saturated_gates", 0.91, 0.99, {"gates-saturated"}),
        ("states", "saturated_gates", 0.89, 0.99, set()),
        ("gradient-decay", "saturated_gates", 0.91, 0.99, {"gates-saturated"}),
        ("gradient-decay", "saturated_gates", 0.89, 0.99, set()),
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


@pytest.mark.parametrize("check", ["gradient-decay", "gradient-draw"])
def test_growth_with_distance_is_an_explosion_where_it_goes_on_for_ever(check):
    def explodes(rate, steady, family):
        both = {
            name: Estimate(high, "", low=-1, high=high, n=8, null=NULL)
            for name, high in {"rate": rate, "steady_rate": steady}.items()
        }
        case = Case({check: Measurement("", both, "rate")}, 30, family)
        return [each.rule for each in diagnose(case)] == ["gradient-explodes"]

    assert explodes(-0.06, -0.06, "hybrid")
    assert not explodes(-0.06, -0.06, "attention")
    assert not explodes(-0.06, -0.04, "hybrid")
    assert not explodes(-0.04, -0.06, "hybrid")


def test_attention_does_not_multiply_gradients():
    assert not fired("loss-gradient", "early_ratio", 200, 300, family="attention")
    assert fired("loss-gradient", "early_ratio", 200, 300, family="hybrid")


@pytest.mark.parametrize(
    ("distance", "tolerated"), [(100, 0.9), (101, 0.9 + 0.1 / 99), (1000, 0.99018)]
)
def test_gates_may_be_as_open_as_chrono_initialisation_makes_them(distance, tolerated):
    for share, rings in ((tolerated - 1e-4, False), (tolerated + 1e-4, True)):
        assert bool(fired("states", "saturated_gates", share, 1.0, distance=distance)) == rings
