"""Moments add and subtract exactly, in whatever parts they come."""

from functools import reduce
from operator import add

import pytest
import torch

from seqprobe.estimators.information.moments import Moments

CLASSES = 5


def rows(count, width=7, lags=3):
    generator = torch.Generator().manual_seed(0)
    states = 3 + torch.randn(count, width, generator=generator)
    return states.double(), torch.randint(CLASSES, (count, lags), generator=generator)


def same(one, other):
    return all(
        torch.allclose(torch.as_tensor(a), torch.as_tensor(b), rtol=1e-12, atol=1e-9)
        for a, b in zip(one.__dict__.values(), other.__dict__.values(), strict=True)
    )


def test_moments_are_the_sums_of_a_naive_loop():
    states, labels = rows(50)
    found = Moments.of(states, labels, CLASSES)
    gram = torch.zeros(7, 7).double()
    totals, counts = torch.zeros(3, CLASSES, 7).double(), torch.zeros(3, CLASSES).double()
    for state, row in zip(states, labels, strict=True):
        gram += torch.outer(state, state)
        for lag, label in enumerate(row):
            totals[lag, label] += state
            counts[lag, label] += 1
    assert same(found, Moments(50, states.sum(0), gram, totals, counts))


@pytest.mark.parametrize("sizes", [[50], [1, 49], [20, 0, 30], [7] * 7 + [1]])
def test_parts_in_any_split_add_up_to_the_whole(sizes):
    states, labels = rows(50)
    parts = zip(states.split(sizes), labels.split(sizes), strict=True)
    total = reduce(add, [Moments.of(h, x, CLASSES) for h, x in parts])
    assert same(total, Moments.of(states, labels, CLASSES))


def test_parts_in_any_order_add_up_to_the_whole():
    states, labels = rows(50)
    order = torch.randperm(50)
    assert same(
        Moments.of(states[order], labels[order], CLASSES), Moments.of(states, labels, CLASSES)
    )


def test_minus_takes_back_what_plus_gave():
    states, labels = rows(50)
    one, other = (Moments.of(states[i::2], labels[i::2], CLASSES) for i in range(2))
    assert same((one + other) - other, one)


def test_more_rows_than_are_multiplied_at_once_change_nothing():
    states, labels = rows(5000)
    found = Moments.of(states, labels, CLASSES)
    assert found.covariance == pytest.approx(states.T.cov(correction=0), abs=1e-10)
    assert found.mean == pytest.approx(states.mean(0), abs=1e-12)


def test_the_size_of_moments_does_not_depend_on_the_rows():
    def size(count):
        moments = Moments.of(*rows(count), CLASSES)
        return sum(v.numel() for v in moments.__dict__.values() if isinstance(v, torch.Tensor))

    assert size(10) == size(3000)


def test_a_class_that_never_occurs_has_half_a_row():
    states, labels = rows(50)
    labels[:, 0] = 0
    shares = Moments.of(states, labels, CLASSES).shares
    assert shares[0].tolist() == pytest.approx([50.5 / 52.5] + 4 * [0.5 / 52.5])
    assert shares.sum(1).tolist() == pytest.approx([1, 1, 1])
