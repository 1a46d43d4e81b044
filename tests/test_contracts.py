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


def layered(layers: int) -> Series:
    sites = ["output", "loss", *(f"blocks.{number}" for number in range(layers))]
    return Series.stacked(
        "s", [{"distance": [0, 1, 2], "site": site, "norm": [1.0, 0.5, 0.25]} for site in sites]
    )


def test_deep_models_have_tables_as_small_as_others():
    deep, deeper = (layered(layers).of_few_sites(8) for layers in (48, 96))
    assert len(deep.rows) == len(deeper.rows) == deep.total_rows == 8 * 3
    sites = list(dict.fromkeys(deep.column("site")))
    assert sites[:3] == ["output", "loss", "blocks.0"]
    assert sites[-1] == "blocks.47"
    depths = np.array([int(site.removeprefix("blocks.")) for site in sites[2:]])
    assert max(np.diff(depths)) - min(np.diff(depths)) <= 1
    assert "8 of 50 sites" in deep.note
    assert deep.column("norm") == [1.0, 0.5, 0.25] * 8


def test_few_sites_and_other_tables_stay_as_they_are():
    assert layered(6).of_few_sites(8) == layered(6)
    heads = Series.of("h", {"position": range(20), "site": [f"b.{n}" for n in range(20)]})
    assert heads.of_few_sites(8) == heads
