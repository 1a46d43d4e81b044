"""The search for what a file does not say, on losses whose best values are known."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from seqprobe.checkpoints.layouts.layout import Unknown
from seqprobe.checkpoints.resolve import Search, Values, assumptions, by_default, said
from seqprobe.checkpoints.rival import CERTAIN

HEADS = Unknown("n_head", (1, 2, 4, 8))
NORM = Unknown("norm_first", (False, True))
Penalty = Callable[[Values], float]


def losses(
    penalty: Penalty, spread: float = 0.0, seen: list[int] | None = None
) -> Callable[[Values, int, int], Tensor]:
    """Loss 2 for the best values, more by the penalty; every pair has noise of its own."""

    def of(values: Values, first: int, last: int) -> Tensor:
        if seen is not None:
            seen.append(last)
        name = sum(map(ord, repr(sorted(values.items()))))
        generator = torch.Generator().manual_seed(name)
        noise = torch.randn(4096, generator=generator, dtype=torch.float64)[first:last]
        return (2 + penalty(values) + spread * noise)[:, None]

    return of


def wrong(**truth: Any) -> Penalty:
    """A tenth for every property that is not the true one."""
    return lambda values: 0.1 * sum(values[name] != value for name, value in truth.items())


@pytest.mark.parametrize(
    ("heads", "norm"), list(itertools.product(HEADS.candidates, NORM.candidates))
)
def test_finds_the_least_loss(heads: int, norm: bool) -> None:
    truth: Values = {"n_head": heads, "norm_first": norm}
    search = Search([HEADS, NORM], losses(wrong(**truth)), most=512)
    assert search.best() == truth
    assert search.best_of_all() == truth
    found = list(assumptions(search, truth, "nats"))
    assert [(each.name, each.value) for each in found] == [
        ("n_head", str(heads)), ("norm_first", str(norm)),
    ]  # fmt: skip
    for each in found:
        assert each.margin == pytest.approx(0.1)
        assert each.decided_by == "likelihood"
    assert found[0].alternatives == tuple(str(c) for c in HEADS.candidates if c != heads)


def test_margin_and_z_are_those_of_paired_differences() -> None:
    of = losses(wrong(n_head=4), spread=0.1)
    search = Search([Unknown("n_head", (2, 4))], of, most=64)
    rival = search.rival({"n_head": 4}, search.unknowns[0])
    assert rival is not None
    difference = (of({"n_head": 2}, 0, 64) - of({"n_head": 4}, 0, 64))[:, 0]
    assert rival.value == 2
    assert rival.scaled.mean == pytest.approx(float(difference.mean()))
    assert rival.scaled.z == pytest.approx(float(difference.mean() / (difference.std() / 8)))


def test_more_examples_until_it_is_decided() -> None:
    """Margin .1, standard deviation of a difference .57: z is 1.4 on 64 examples, 4 on 512."""
    seen: list[int] = []
    of = losses(wrong(n_head=4), spread=0.4, seen=seen)
    search = Search([Unknown("n_head", (4, 2))], of, most=4096)
    (found,) = assumptions(search, {"n_head": 4}, "nats")
    assert max(seen) > 128
    assert found.alternatives_are == "ruled out"
    assert found.z is not None
    assert found.z > CERTAIN


def test_undecided_when_there_are_no_more_examples() -> None:
    of = losses(wrong(n_head=4), spread=0.4)
    search = Search([Unknown("n_head", (4, 2))], of, most=64)
    (found,) = assumptions(search, {"n_head": 4}, "nats")
    assert found.alternatives_are == "possible"


def test_what_makes_no_difference_is_settled() -> None:
    """The same numbers, or less than 0.2 % of the loss: nothing is lost by not knowing."""
    of = losses(lambda values: 0.001 * (values["activation"] == "gelu_tanh"))
    search = Search([Unknown("activation", ("gelu", "gelu_tanh"))], of, most=64)
    (found,) = assumptions(search, {"activation": "gelu"}, "nats")
    assert found.alternatives_are == "no different"
    worse = Search(search.unknowns, losses(lambda v: 0.1 * (v["activation"] != "gelu")), most=1)
    (found,) = assumptions(worse, {"activation": "gelu"}, "nats")
    assert found.alternatives_are == "possible", "one example says nothing"


def test_a_mean_difference_of_zero_may_be_chance() -> None:
    """Half the examples speak for each value: the mean is zero, its error is not."""

    def of(values: Values, first: int, last: int) -> Tensor:
        sign = 1.0 - 2.0 * (torch.arange(first, last, dtype=torch.float64) % 2)
        return (2 + 0.5 * sign * values["x"])[:, None]

    search = Search([Unknown("x", (0, 1))], of, most=64)
    (found,) = assumptions(search, {"x": 0}, "bits")
    assert found.margin == 0
    assert found.alternatives_are == "possible"


def test_of_two_that_make_no_difference_the_usual_one_is_taken() -> None:
    of = losses(lambda values: 0.001 * (values["activation"] == "gelu"))
    search = Search([Unknown("activation", ("gelu", "gelu_tanh"))], of, most=64)
    assert search.mean({"activation": "gelu_tanh"}, 64) < search.mean({"activation": "gelu"}, 64)
    assert search.best() == {"activation": "gelu"}


def test_what_is_only_too_timid_is_not_ruled_out() -> None:
    """The second value loses as it is, and wins at another scale of its outputs."""

    def of(values: Values, first: int, last: int) -> Tensor:
        timid = torch.tensor([[1.5, 0.9]] if values["x"] else [[1.0, 1.1]], dtype=torch.float64)
        return timid + 0.01 * torch.sin(torch.arange(first, last, dtype=torch.float64))[:, None]

    search = Search([Unknown("x", (0, 1))], of, most=64)
    assert search.best() == {"x": 0}
    (found,) = assumptions(search, {"x": 0}, "bits")
    assert found.alternatives_are == "possible"
    assert found.margin == pytest.approx(-0.1)


def test_a_model_that_hardly_looks_back_rules_out_only_what_is_far() -> None:
    near = Search([Unknown("n_head", (1, 2))], losses(wrong(n_head=1)), most=64)
    for weak, standing in ((False, "ruled out"), (True, "possible")):
        (found,) = assumptions(near, {"n_head": 1}, "bits", weak=weak)
        assert found.alternatives_are == standing
    far = Search([Unknown("x", (0, 1))], losses(lambda values: values["x"]), most=64)
    (found,) = assumptions(far, {"x": 0}, "bits", weak=True)
    assert found.alternatives_are == "ruled out"


def test_by_chance_nothing_is_decided() -> None:
    """Candidates that differ by noise alone: z above 4 would be a wrong claim."""
    claimed = 0
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        table = torch.randn(2, 512, generator=generator, dtype=torch.float64)

        def of(values: Values, first: int, last: int, table: Tensor = table) -> Tensor:
            return (2 + 0.3 * table[values["x"], first:last])[:, None]

        search = Search([Unknown("x", (0, 1))], of, most=512)
        (found,) = assumptions(search, search.best(), "nats")
        claimed += found.alternatives_are == "ruled out"
    assert claimed == 0


def test_a_trap_on_the_way_is_left_by_trying_all() -> None:
    """From the usual values every single step is uphill; only both together are better."""
    table = {(1, False): 0.1, (2, False): 0.2, (1, True): 0.3, (2, True): 0.0}
    unknowns = [Unknown("n_head", (1, 2)), NORM]
    of = losses(lambda values: table[values["n_head"], values["norm_first"]])
    search = Search(unknowns, of, most=64)
    assert search.best() == {"n_head": 1, "norm_first": False}
    assert search.best_of_all() == {"n_head": 2, "norm_first": True}


def test_a_value_that_wins_on_more_examples_is_taken() -> None:
    """The first 64 examples mislead."""

    def of(values: Values, first: int, last: int) -> Tensor:
        numbers = torch.arange(first, last, dtype=torch.float64)
        noise = 0.01 * torch.sin(7 * numbers + values["x"])
        misleading = torch.where(numbers < 64, 0.02, -0.2)
        return (2 + noise + (misleading + 0.3 * torch.cos(numbers)) * (values["x"] == 1))[:, None]

    search = Search([Unknown("x", (0, 1))], of, most=1024)
    assert search.mean({"x": 0}, 64) < search.mean({"x": 1}, 64)
    assert search.best() == {"x": 1}


def test_what_cannot_be_built_is_never_chosen() -> None:
    of = losses(lambda values: math.inf if values["n_head"] == 1 else 0.0)
    search = Search([Unknown("n_head", (1, 2))], of, most=64)
    assert search.best() == {"n_head": 2}
    (found,) = assumptions(search, {"n_head": 2}, "nats")
    assert found.alternatives_are == "ruled out"
    assert found.margin is None


def test_without_data_the_usual_value_is_not_settled() -> None:
    values, taken = by_default([HEADS, NORM])
    assert values == {"n_head": 1, "norm_first": False}
    assert [each.alternatives_are for each in taken] == ["possible", "possible"]
    assert {each.decided_by for each in taken} == {"default"}


def test_what_is_said() -> None:
    spoken: Mapping[str, Any] = {"n_head": 3, "bias": True}
    told = said(spoken, "file", but={"bias"})
    assert [(each.name, each.value, each.decided_by) for each in told] == [("n_head", "3", "file")]
