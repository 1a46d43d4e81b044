"""The contracts refuse what would mislead."""

import math
from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from seqprobe.contracts import (
    Estimate,
    Interval,
    Measurement,
    Needs,
    Null,
    Observation,
    Probe,
    Series,
)


def test_an_estimate_without_a_value_needs_a_reason():
    with pytest.raises(ValueError, match="needs a reason"):
        Estimate(None, "steps")
    assert Estimate.missing("steps", "no decay").reason == "no decay"


@pytest.mark.parametrize("field", ["value", "low", "high", "ceiling"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_no_estimate_holds_nan_or_infinity(field, number):
    with pytest.raises(ValueError, match=rf"Estimate.{field} is {number}; use None with a reason"):
        Estimate(**{"value": 1.0, "unit": "steps", field: number})


def test_an_infinite_sampled_value_becomes_a_lower_bound():
    null = Null("none", 0.0)
    about = Interval(math.inf, math.inf)
    found = Estimate.sampled(math.inf, "steps", about, n=9, null=null, beyond="never", longest=64.0)
    assert (found.value, found.low, found.high, found.reason) == (None, 64.0, None, "never")


@pytest.mark.parametrize(
    ("estimate", "supports"),
    [
        (Estimate(1.0, "", exact=True), True),
        (Estimate(1.0, "", low=0.5, high=2.0, null=Null("none", 0.0)), True),
        (Estimate(1.0, "", low=0.5, high=2.0), False),
        (Estimate(1.0, "", null=Null("none", 0.0)), False),
    ],
)
def test_a_sampled_value_without_interval_or_null_supports_no_finding(estimate, supports):
    assert estimate.supports_findings is supports


def test_series_turn_nan_into_empty_cells_and_say_so():
    series = Series.of("s", {"distance": [0, 1], "value": [1.0, np.nan], "site": ["a", "b"]})
    assert series.rows == ((0, 1.0, "a"), (1, None, "b"))
    assert [c.type for c in series.columns] == ["number", "number", "text"]
    assert series.missing


@dataclass(frozen=True)
class Counting(Probe):
    """Means of the first token."""

    id: ClassVar[str] = "counting"

    @property
    def needs(self) -> Needs:
        return Needs(stream="iid")

    def observe(self, observation):
        return {"first": observation.inputs[:, 0].numpy()}

    def measure(self, evidence):
        return Measurement(str(evidence["first"].tolist()), {}, "")


def seen(numbers):
    tokens = torch.tensor([[10 * n] for n in numbers])
    return Observation(sequences=numbers, inputs=tokens, outputs=torch.zeros(len(numbers), 1, 2))


def test_probes_are_immutable_and_merge_in_any_order():
    empty = Counting()
    one, two = empty.update(seen([0, 1])), empty.update(seen([2]))
    assert empty.evidence == ()
    with pytest.raises(FrozenInstanceError):
        empty.seed = 3
    assert one.merge(two).compute().headline == two.merge(one).compute().headline == "[0, 10, 20]"


def test_a_probe_that_saw_nothing_says_so():
    with pytest.raises(ValueError, match="compute\\(\\) before any update"):
        Counting().compute()


def test_curves_are_stacked_and_single_values_repeated():
    parts = [
        {"distance": range(2), "site": "a", "x": [1.0, 2.0]},
        {"distance": range(1), "site": "bb", "x": np.nan},
    ]
    assert Series.stacked("s", parts).rows == ((0, "a", 1.0), (1, "a", 2.0), (0, "bb", None))


@pytest.mark.parametrize(
    ("estimate", "status"),
    [
        (Estimate(1.0, "bits", ceiling=3.0), "estimate"),
        (Estimate(1.0, "bits", ceiling=3.0, lower_bound=True), "bound"),
        (Estimate(2.95, "bits", ceiling=3.0, lower_bound=True), "saturated"),
        (Estimate.missing("bits", "the state never changes"), "not estimable"),
    ],
)
def test_an_estimate_says_what_kind_of_number_it_is(estimate, status):
    assert estimate.status == status
