"""Statistics of attention against closed forms and a naive computation from whole matrices."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from seqprobe.contracts import AttentionRows
from seqprobe.estimators import attention_statistics
from seqprobe.estimators.attention_statistics import (
    HeadStatistics,
    head_statistics,
    mean_distance,
    rolled_out,
    spread_rows,
    uniform_attention,
    uniform_rollout_distance,
)

EDGES = torch.tensor([0, 1, 2, 4, 8, 16, 32, 64, 128])


def harmonic(n: int) -> float:
    return sum(1 / k for k in range(1, n + 1))


def of_scores(scores: Tensor, norms: Tensor | None = None, **how: object) -> HeadStatistics:
    """Scores (batch, heads, time, time) of all weights at once."""

    def read(rows: Tensor) -> AttentionRows:
        some = scores[..., rows, :]
        lowest = torch.finfo(scores.dtype).min
        return AttentionRows(some.softmax(-1), some.clamp(min=lowest))

    time = scores.shape[-1]
    norms = scores.new_ones(*scores.shape[:2], time) if norms is None else norms
    return head_statistics(read, spread_rows(time, None), norms, EDGES)


def causal(scores: Tensor) -> Tensor:
    ahead = torch.ones(scores.shape[-2:]).triu(1).bool()
    return scores.masked_fill(ahead, -math.inf)


@pytest.mark.parametrize("time", [5, 64, 65, 200])
def test_equal_weights(time: int) -> None:
    found = of_scores(causal(torch.zeros(1, 1, time, time).double()))
    assert found.entropy_ratio.item() == pytest.approx(1)
    assert found.distance.item() == pytest.approx((time - 1) / 4)
    assert found.first.item() == pytest.approx(harmonic(time) / time)
    assert found.first_by_norm.item() == pytest.approx(harmonic(time) / time)
    assert found.error.item() < 1e-12
    assert found.ahead.item() == 0
    at_two_or_three = sum(sum(1 for k in (2, 3) if k <= t) / (t + 1) for t in range(time))
    assert found.shares[0, 2].item() == pytest.approx(at_two_or_three / time)


def test_the_published_weight_of_the_first_key_under_equal_weights() -> None:
    """0.074 at 64 steps, and not 1/64."""
    assert uniform_attention(64, EDGES.numpy(), causal=True).first == pytest.approx(
        0.0741, abs=5e-5
    )
    assert uniform_attention(64, EDGES.numpy(), causal=False).first == pytest.approx(1 / 64)


@pytest.mark.parametrize("causally", [True, False])
def test_equal_weights_have_the_statistics_that_serve_as_null(causally: bool) -> None:
    scores = torch.zeros(1, 1, 100, 100).double()
    found = of_scores(causal(scores) if causally else scores)
    null = uniform_attention(100, EDGES.numpy(), causal=causally)
    assert found.first.item() == pytest.approx(null.first)
    assert found.distance.item() == pytest.approx(null.distance)
    assert found.shares[0].numpy() == pytest.approx(null.shares)
    assert found.entropy_ratio.item() == pytest.approx(1)


@pytest.mark.parametrize("slope", [0.1, 0.5, 2.0])
def test_weights_that_fade_with_distance(slope: float) -> None:
    """Far from the start: a geometric law. Only the last 64 of 800 queries are read."""
    steps = torch.arange(800.0).double()
    scores = causal(-slope * (steps[:, None] - steps)).clamp(min=-1e300)[None, None]
    rows = torch.arange(736, 800)
    found = head_statistics(
        lambda some: AttentionRows(scores[..., some, :].softmax(-1), scores[..., some, :]),
        rows, torch.ones(1, 1, 800).double(), EDGES,
    )  # fmt: skip
    r = math.exp(-slope)
    entropy = -math.log(1 - r) - r / (1 - r) * math.log(r)
    assert found.distance.item() == pytest.approx(r / (1 - r))
    relative = np.mean([entropy / math.log(n) for n in range(737, 801)])
    assert found.entropy_ratio.item() == pytest.approx(relative)
    assert found.shares[0, :4].numpy() == pytest.approx([1 - r, r - r**2, r**2 - r**4, r**4 - r**8])


@pytest.mark.parametrize("hide", [causal, lambda scores: scores])
def test_equals_a_naive_twin(hide: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(3)
    batch, heads, time = 2, 3, 150
    scores = hide(4 * torch.randn(batch, heads, time, time).double())
    norms = torch.rand(batch, heads, time).double()
    found = of_scores(scores, norms)
    weights = scores.softmax(-1).numpy()
    for b in range(batch):
        for h in range(heads):
            entropies, first, distances = [], [], []
            for t in range(time):
                p = weights[b, h, t]
                kept = p[p > 0]
                seen = t + 1 if hide is causal else time
                if seen > 1:
                    entropies.append(-(kept * np.log(kept)).sum() / math.log(seen))
                by_norm = p * norms[b, h].numpy()
                first.append(by_norm[0] / by_norm.sum())
                distances.append(sum(p[s] * abs(t - s) for s in range(time)))
            assert found.entropy_ratio[b, h].item() == pytest.approx(np.mean(entropies))
            assert found.first_by_norm[b, h].item() == pytest.approx(np.mean(first))
            assert found.distance[b, h].item() == pytest.approx(np.mean(distances))
            assert found.first[b, h].item() == pytest.approx(weights[b, h, :, 0].mean())
    far = np.abs(np.subtract.outer(np.arange(time), np.arange(time))) >= 128
    share = (weights.mean(1) * far).sum(-1).mean(-1)
    assert found.shares[:, -1].numpy() == pytest.approx(share)
    assert found.shares.sum(-1).numpy() == pytest.approx(np.ones(batch))


def test_single_precision_keeps_the_entropy_of_large_scores() -> None:
    """Scores of a few hundred: their constant is taken off again."""
    scores = causal(300 + 30 * torch.randn(1, 2, 100, 100))
    rough, fine = of_scores(scores), of_scores(scores.double())
    assert rough.entropy_ratio.numpy() == pytest.approx(fine.entropy_ratio.numpy(), abs=1e-4)


def test_rows_that_do_not_sum_to_one_are_relative_to_their_sum() -> None:
    scores = causal(torch.randn(1, 1, 40, 40).double())
    finite = scores.clamp(min=-1e300)
    halved = head_statistics(
        lambda rows: AttentionRows(scores[..., rows, :].softmax(-1) / 2, finite[..., rows, :]),
        torch.arange(40), torch.ones(1, 1, 40).double(), EDGES,
    )  # fmt: skip
    plain = of_scores(scores)
    assert halved.error.item() == pytest.approx(0.5)
    for name in ("entropy_ratio", "distance", "first", "first_by_norm", "shares"):
        torch.testing.assert_close(getattr(halved, name), getattr(plain, name))


def test_rows_without_weights_are_left_out() -> None:
    scores = causal(torch.zeros(1, 1, 20, 20).double())
    empty = torch.arange(20) == 7

    def read(rows: Tensor) -> AttentionRows:
        some = scores[..., rows, :]
        return AttentionRows(some.softmax(-1) * ~empty[rows, None], some.clamp(min=-1e300))

    found = head_statistics(read, torch.arange(20), torch.ones(1, 1, 20).double(), EDGES)
    assert found.error.item() < 1e-12
    others = [t / 2 for t in range(20) if t != 7]
    assert found.distance.item() == pytest.approx(np.mean(others))
    assert found.entropy_ratio.item() == pytest.approx(1)


def test_some_queries_stand_for_all() -> None:
    rows = spread_rows(100, 10)
    assert rows.tolist() == list(range(5, 100, 10))
    assert spread_rows(5, 10).tolist() == list(range(5))


def test_attention_to_itself_rolls_out_to_itself() -> None:
    identity = torch.eye(9).double()[None]
    torch.testing.assert_close(rolled_out([identity] * 5), identity)


def test_two_layers_of_equal_weights_roll_out_to_harmonic_numbers() -> None:
    """Without a residual stream (H_t - H_{s-1}) / t, counted from one."""
    time = 12
    equal = torch.ones(time, time).tril().double()
    equal = (equal / equal.sum(1, keepdim=True))[None]
    rolled = rolled_out([equal, equal], residual=False)[0]
    for t in range(1, time + 1):
        truth = [(harmonic(t) - harmonic(s - 1)) / t if s <= t else 0 for s in range(1, time + 1)]
        assert rolled[t - 1].numpy() == pytest.approx(truth)


def test_half_of_a_layer_passes_by_its_attention() -> None:
    """All attention on the first key: after L layers 2^-L is left where it was."""
    to_first = torch.zeros(1, 6, 6).double()
    to_first[..., 0] = 1
    rolled = rolled_out([to_first] * 3)[0]
    assert rolled[4, 4].item() == pytest.approx(1 / 8)
    assert rolled[4, 0].item() == pytest.approx(7 / 8)
    assert mean_distance(rolled[None]).item() == pytest.approx(7 / 8 * np.mean(range(6)))


def test_later_layers_stand_to_the_left() -> None:
    one, other = torch.rand(2, 1, 5, 5).double().tril().softmax(-1)
    torch.testing.assert_close(rolled_out([one, other], residual=False), other @ one)


def test_rollout_of_one_layer_of_equal_weights() -> None:
    """Half of it stays, the other half is (t - 1) / 2 steps away on the mean."""
    assert uniform_rollout_distance(33, 1, causal=True) == pytest.approx(32 / 4 / 2)


def test_the_size_of_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = causal(torch.randn(2, 3, 70, 70).double())
    together = of_scores(scores)
    monkeypatch.setattr(attention_statistics, "LARGEST", 2 * 3 * 70 * 5)
    for one, other in zip(together, of_scores(scores), strict=True):
        torch.testing.assert_close(one, other)
