"""Symbols decoded together: against slow twins, the chain rule and exact information."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from seqprobe.estimators.information.discriminant import Discriminant
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.joint import Chain, features, joint, recall
from seqprobe.estimators.information.linear import linear
from seqprobe.estimators.information.moments import Moments

BITS = math.log(2)


def superposed(codes, noise, rows=8000, seed=0):
    """A state is the sum of a code of each symbol, and noise; codes are (lags, classes, width)."""
    generator = torch.Generator().manual_seed(seed)
    lags, classes, width = codes.shape
    labels = torch.randint(classes, (rows, lags), generator=generator)
    states = sum(codes[lag][labels[:, lag]] for lag in range(lags))
    return states + noise * torch.randn(rows, width, generator=generator), labels


def posterior(codes, noise, states):
    """Of all symbols together, by enumeration; one axis per symbol."""
    lags, classes, _ = codes.shape
    every = torch.tensor(list(product(range(classes), repeat=lags)))
    centres = codes[torch.arange(lags), every].sum(1)
    scores = -torch.cdist(states, centres).square() / (2 * noise**2)
    return scores.double().softmax(1).unflatten(1, (classes,) * lags)


def bits_of_all(codes, noise):
    """I(all symbols; state)."""
    states, _ = superposed(codes, noise, rows=100_000, seed=7)
    lost = torch.special.entr(posterior(codes, noise, states)).flatten(1).sum(1).mean()
    return len(codes) * math.log2(codes.shape[1]) - lost.item() / BITS


def folds_of(rows):
    return Folds.of(rows // 10, 10, 0, torch.device("cpu"))


def random_codes(lags=3, classes=3, width=5):
    return torch.randn(lags, classes, width, generator=torch.Generator().manual_seed(3))


def chain_of(states, labels, classes):
    known = features(states, labels, classes)
    return Chain.fit(Moments.of(known, labels, classes), classes, states.shape[1])


def test_every_prefix_is_the_discriminant_of_the_state_and_the_symbols_before():
    states, labels = superposed(random_codes(), 1.0, rows=1000)
    states, width = states.double(), states.shape[1]
    told = chain_of(states, labels, 3).informed(states, labels)
    for lag in range(3):
        known = features(states, labels, 3)[:, : width + 2 * lag]
        naive = Discriminant.fit(Moments.of(known, labels[:, [lag]], 3)).scores(known)[:, 0]
        found = told[:, lag]
        assert found - found[:, :1] == pytest.approx(naive - naive[:, :1], abs=1e-6)


def test_every_prefix_agrees_with_scikit_learn():
    """Of so many rows that shrinkage does not matter."""
    states, labels = superposed(random_codes(), 1.0, rows=20_000)
    chain = chain_of(states, labels, 3)
    ours = (chain.informed(states, labels) + chain.log_share).log_softmax(-1).exp().numpy()
    one_hot = np.eye(3)[labels.numpy()][..., :-1]
    for lag in range(3):
        known = np.concatenate([states.numpy(), one_hot[:, :lag].reshape(len(states), -1)], 1)
        other = LinearDiscriminantAnalysis(solver="lsqr").fit(known, labels[:, lag].numpy())
        assert ours[:, lag] == pytest.approx(other.predict_proba(known), abs=0.01)


@pytest.mark.parametrize("noise", [0.7, 1.5])
def test_recall_adds_up_to_what_the_state_says_of_all_symbols(noise):
    """Orthogonal axes for binary symbols: every step of the chain is as good as can be."""
    axes = torch.eye(3)[:, None] * torch.tensor([1.0, -1.0])[:, None]
    states, labels = superposed(axes, noise, rows=20_000)
    told = recall(states, labels, 2, folds_of(20_000)).held_out.mean(0) / BITS + 1
    assert told.sum() == pytest.approx(bits_of_all(axes, noise), abs=0.03)


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_recall_never_exceeds_what_the_state_says_of_all_symbols(noise):
    codes = random_codes()
    states, labels = superposed(codes, noise, rows=20_000)
    told = recall(states, labels, 3, folds_of(20_000)).held_out.mean(0) / BITS + math.log2(3)
    truth = bits_of_all(codes, noise)
    assert 0.6 * truth < told.sum() < truth + 0.02


def test_the_last_symbol_is_recalled_as_if_there_were_no_others():
    codes = random_codes()
    states, labels = superposed(codes, 1.0, rows=20_000)
    told = recall(states, labels, 3, folds_of(20_000)).held_out[:, -1].mean() / BITS + math.log2(3)
    assert told == pytest.approx(bits_of_all(codes[-1:], 1.0), abs=0.03)


def test_guesses_of_all_contexts_sum_as_a_naive_loop_does():
    """Four binary symbols have 16 contexts, as many as there are guesses."""
    codes = random_codes(lags=4, classes=2)
    states, labels = superposed(codes, 1.0, rows=500)
    chain, factor = chain_of(states, labels, 2), torch.tensor([0.5, 1.0, 1.2, 0.8])
    told = chain.marginal(states, factor, labels)
    naive = torch.zeros(500, 4, 2)
    for context in product(range(2), repeat=4):
        symbols = torch.tensor(context).expand(500, 4)
        logits = chain.informed(states, symbols) * factor[:, None] + chain.log_share
        each = logits.log_softmax(-1)[:, range(4), context]
        for lag in range(4):
            naive[:, lag, context[lag]] += each.sum(1).exp()
    expected = naive.gather(2, labels[..., None])[..., 0].log()
    assert told == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("lags", [2, 6])
def test_likelihoods_of_all_classes_sum_to_one(lags):
    """Also where there are more contexts than guesses."""
    codes = random_codes(lags=lags)
    states, labels = superposed(codes, 1.0, rows=500)
    chain, factor = chain_of(states, labels, 3), torch.ones(lags)
    for lag in range(lags):
        each = [labels.index_fill(1, torch.tensor(lag), value) for value in range(3)]
        told = torch.stack([chain.marginal(states, factor, x)[:, lag] for x in each])
        assert told.exp().sum(0) == pytest.approx(torch.ones(500), abs=1e-4)


def test_a_weak_symbol_under_a_strong_one_is_read_after_it():
    """2 a + b on one axis: to a linear decoder of b alone, a is noise."""
    codes = torch.tensor([[[-2.0], [2.0]], [[-1.0], [1.0]]])
    states, labels = superposed(codes, 0.2)
    folds = folds_of(8000)
    alone = linear(states, labels, 2, folds).held_out.mean(0) / BITS + 1
    together = joint(states, labels, 2, folds).held_out.mean(0) / BITS + 1
    exact = posterior(codes, 0.2, superposed(codes, 0.2, rows=100_000, seed=7)[0])
    truth = [1 - torch.special.entr(exact.sum(3 - k)).sum(1).mean().item() / BITS for k in (1, 2)]
    assert alone[1] < 0.3
    assert together.tolist() == pytest.approx(truth, abs=0.05)
    assert min(truth) > 0.9


@pytest.mark.parametrize("decode", [joint, recall])
def test_folds_are_whole_sequences(decode):
    """A mark of the sequence tells its labels: only a decoder that saw the sequence can know."""
    generator = torch.Generator().manual_seed(0)
    marks = torch.randn(40, 1, 64, generator=generator).expand(40, 30, 64).flatten(0, 1)
    states = marks + 0.01 * torch.randn(1200, 64, generator=generator)
    labels = torch.randint(4, (40, 1, 2), generator=generator).expand(40, 30, 2).flatten(0, 1)
    told = decode(states, labels, 4, Folds.of(40, 30, 0, torch.device("cpu")))
    assert told.held_out.mean() / BITS + 2 < 0.1


def test_decoding_together_exceeds_no_posterior():
    codes = random_codes()
    states, labels = superposed(codes, 1.0, rows=20_000)
    told = joint(states, labels, 3, folds_of(20_000)).held_out.mean(0)
    exact = posterior(codes, 1.0, states)
    for lag in range(3):
        others = [axis for axis in (1, 2, 3) if axis != lag + 1]
        best = exact.sum(others).gather(1, labels[:, [lag]]).log().mean()
        assert told[lag] <= best + 1e-3
        assert told[lag] > best - 0.1
