"""Counting pairs of tokens: against the dense estimator for bytes, and by hand."""

import math

import numpy as np
import pytest
import torch

from seqprobe.estimators.bigram import bigram_nats
from seqprobe.estimators.ngram import ngram_bits


def test_equals_the_estimator_for_bytes() -> None:
    draw = np.random.default_rng(0)
    train = draw.integers(97, 107, 2000).astype(np.uint8)
    texts = draw.integers(97, 110, (5, 40)).astype(np.uint8)
    nats = bigram_nats(torch.tensor(train).int(), torch.tensor(texts).long(), 256)
    assert np.allclose(nats / math.log(2), ngram_bits(train, texts, order=2))


def test_by_hand() -> None:
    """0 1 0 1 2: after 0 always 1; after 2 nothing was seen."""
    train = torch.tensor([0, 1, 0, 1, 2])
    single = [(times + 3 / 4) / (5 + 3) for times in (2, 2, 1, 0)]
    nats = bigram_nats(train, torch.tensor([[0, 1, 3, 2], [2, 0, 0, 1]]), 4)
    after_0 = [(2 * (token == 1) + 1 * single[token]) / 3 for token in range(4)]
    after_1 = [((token in (0, 2)) + 2 * single[token]) / 4 for token in range(4)]
    expected = [[after_0[1], after_1[3], single[2]], [single[0], after_0[0], after_0[1]]]
    assert nats.exp().reciprocal().tolist() == [pytest.approx(row) for row in expected]


def test_chances_sum_to_one() -> None:
    train = torch.randint(7, (300,), generator=torch.Generator().manual_seed(0))
    every = torch.cartesian_prod(torch.arange(9), torch.arange(9))
    chances = (-bigram_nats(train, every, 9)).exp().reshape(9, 9)
    assert torch.allclose(chances.sum(1), torch.ones(9, dtype=torch.float64))


def test_a_text_of_one_token() -> None:
    assert bigram_nats(torch.tensor([3]), torch.tensor([[0, 3]]), 4).isfinite().all()
