"""What all estimators of pairs refuse, in the same words, and how they look at sequences."""

from inspect import unwrap

import pytest
import torch

from seqprobe.estimators.information import (
    canonical_bits,
    contrastive_bits,
    ksg_bits,
    pair_bits,
)
from seqprobe.estimators.information.local import replicates
from seqprobe.estimators.information.pairs import Pairs, of_another

ESTIMATORS = (canonical_bits, ksg_bits, contrastive_bits, pair_bits)


def noise(samples=100, width=2, seed=0):
    return torch.randn(samples, width, generator=torch.Generator().manual_seed(seed))


def infinite():
    x = noise()
    x[3, 1] = float("inf")
    return x


BAD = {
    "x is constant: it has zero variance": (torch.ones(100, 2), None),
    "x has infinite or undefined values": (infinite(), None),
    "50% of the rows of x repeat another one: the data were copied, or are discrete": (
        noise(50).repeat(2, 1),
        None,
    ),
    "98% of the rows of x repeat another one: the data were copied, or are discrete": (
        (noise(width=1) > 0).float(),
        None,
    ),
    "5 sequences are too few; at least 8 are needed": (noise(), torch.arange(100) // 20),
    "one sequence holds more than half of all samples: there is nothing to hold out": (
        noise(),
        (torch.arange(100) - 60).clamp(min=0),
    ),
    "100 samples are too few for 152 dimensions": (noise(width=150), None),
}


@pytest.mark.parametrize("reason", BAD)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_bad_input_is_not_estimable(estimator, reason):
    x, sequences = BAD[reason]
    found = estimator(x, noise(seed=1), sequences=sequences)
    for each in (found.bound, found.estimate) if estimator is pair_bits else (found,):
        assert (each.value, each.unit, each.reason) == (None, "bits", reason)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_shapes_that_do_not_match_are_errors(estimator):
    bare = unwrap(estimator)
    with pytest.raises(
        ValueError, match=r"got x \(100, 2\) and y \(99, 2\); expected \(samples, x\)"
    ):
        bare(noise(), noise(99))
    with pytest.raises(ValueError, match=r"got x \(100,\) and y \(100, 2\)"):
        bare(noise()[:, 0], noise())
    with pytest.raises(ValueError, match=r"got \(3,\) numbers .* expected \(100,\)"):
        bare(noise(), noise(), sequences=torch.arange(3))


def test_a_constant_column_among_others_is_dropped():
    x, y = noise(), noise(seed=1)
    wider = torch.cat([x, torch.full((100, 1), 3.0)], 1)
    assert canonical_bits(wider, y) == canonical_bits(x, y)


def test_rows_of_a_sequence_need_not_be_neighbours():
    x, y, labels = noise(), noise(seed=1), torch.arange(100) // 10
    mixed = torch.randperm(100, generator=torch.Generator().manual_seed(2))
    apart = Pairs.of(x[mixed], y[mixed], labels[mixed] * 7 - 3)
    assert torch.equal(apart.sequences, labels)
    assert torch.equal(apart.x[:10].sort(0).values, x[:10].double().sort(0).values)


@pytest.mark.parametrize("lengths", [[10] * 10, [1] * 60 + [40], [3, 20, 7, 30, 5, 5, 25, 5]])
def test_elsewhere_is_another_sequence(lengths):
    labels = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    x = labels[:, None] + 0.5 * torch.rand(100, 1)
    moved = Pairs.of(x, x, labels).elsewhere()
    assert (moved.y.floor() != moved.x.floor()).all()
    assert torch.equal(moved.y.sort(0).values, moved.x.sort(0).values)


def test_unrelated_rows_are_of_any_other_sequence():
    labels = torch.tensor([0] * 5 + [1] * 2 + [2] * 3)
    drawn = torch.stack([of_another(labels, torch.Generator().manual_seed(n)) for n in range(300)])
    assert (labels[drawn] != labels).all()
    assert sorted(drawn[:, 0].unique().tolist()) == [5, 6, 7, 8, 9]
    assert sorted(drawn[:, 5].unique().tolist()) == [0, 1, 2, 3, 4, 7, 8, 9]


def test_long_sequences_weigh_by_their_samples():
    labels = torch.arange(10).repeat_interleave(torch.arange(1, 11))
    pairs = Pairs.of(noise(55), noise(55, seed=1), labels)
    ones = torch.ones(55, 1, dtype=torch.float64)
    assert replicates(pairs, ones, 0).min() == pytest.approx(1)


def test_joined_sequences_spread_like_single_ones():
    terms = noise(2000, 1).double()
    pairs = Pairs.of(noise(2000), noise(2000, seed=1))
    assert replicates(pairs, terms, 0).std() == pytest.approx(2000**-0.5, rel=0.15)
