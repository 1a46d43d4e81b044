"""The online code against closed forms, and against one that starts over for every block."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqprobe.estimators.information import online_code
from seqprobe.estimators.information.decoder import standardised
from seqprobe.estimators.information.discriminant import Discriminant
from seqprobe.estimators.information.moments import Moments
from seqprobe.estimators.information.temperature import ROWS, TEMPERATURES, log_likelihood
from seqprobe.estimators.information.transmission import RIDGES, blocks

CLASSES = 4
EVEN = torch.full((CLASSES,), 1 / CLASSES)


def symbols(sequences=64, steps=50, lags=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(CLASSES, (sequences, steps, lags), generator=generator)


def one_hot(labels):
    return F.one_hot(labels[..., 0], CLASSES).float()


def hidden(labels, width=300):
    """The same symbols under noise ten times as loud in all but a few directions of the space.

    Who does not know these directions sees noise; to know them takes as many samples as features.
    """
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(*labels.shape[:2], width, generator=generator)
    quiet = torch.arange(width) < CLASSES
    noise *= torch.where(quiet, 0.05, 10.0)
    turn = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
    code = torch.randn(CLASSES, width, generator=generator)
    return noise @ turn + one_hot(labels) @ code


def unrelated(labels, width=20):
    return torch.randn(*labels.shape[:2], width, generator=torch.Generator().manual_seed(2))


def test_tells_easy_from_hard_and_gone():
    labels = symbols(32)
    easy, hard, gone = (
        online_code(states(labels), labels, CLASSES, chances=EVEN)
        for states in (one_hot, hidden, unrelated)
    )
    assert (easy.verdicts, hard.verdicts, gone.verdicts) == (
        ("easy",),
        ("hard to read",),
        ("gone",),
    )
    assert easy.final[0] == pytest.approx(2, abs=0.02)
    assert hard.final[0] == pytest.approx(2, abs=0.1)
    assert abs(gone.final[0]) < 0.02
    assert easy.saved[0] > 1.85
    assert hard.saved[0] < 1.6
    assert abs(gone.saved[0]) < 0.05
    assert easy.effort[0] == pytest.approx(50)
    assert 150 < hard.effort[0] < 600
    assert math.isnan(gone.effort[0])


def test_a_one_hot_code_costs_its_first_block_and_little_else():
    """Each of n - 50 symbols is known but for the doubt that the coder must keep."""
    labels = symbols()
    found = online_code(one_hot(labels), labels, CLASSES, chances=EVEN)
    sent = 64 * 50
    assert found.length[0] == pytest.approx((1 - found.saved[0] / 2) * 2 * sent)
    assert 2 * 50 < found.length[0] < 2 * 50 + 0.02 * 2 * sent


def test_more_noise_is_harder():
    labels = symbols()
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(64, 50, CLASSES, generator=generator)
    codes = [
        online_code(one_hot(labels) + scale * noise, labels, CLASSES, chances=EVEN)
        for scale in (0.1, 0.3, 0.6, 1.0)
    ]
    assert all(a.saved[0] > b.saved[0] for a, b in pairwise(codes))
    assert all(a.final[0] > b.final[0] for a, b in pairwise(codes))


@pytest.mark.parametrize("separation", [0.1, 0.4, 1.0])
def test_never_shorter_than_what_is_unknown(separation):
    """Normal classes: what is unknown given the state, H(x | h), is exact by Monte Carlo."""
    generator = torch.Generator().manual_seed(0)
    labels = symbols(400, 20)
    means = separation * torch.randn(CLASSES, 6, generator=generator)
    states = means[labels[..., 0]] + torch.randn(400, 20, 6, generator=generator)
    told = (-0.5 * torch.cdist(states.flatten(0, 1), means) ** 2).log_softmax(1)
    unknown = -told.gather(1, labels.flatten(0, 1))[:, 0].double() / math.log(2)
    found = online_code(states, labels, CLASSES, chances=EVEN)
    assert found.length[0] > unknown.sum() - 3 * unknown.std() * math.sqrt(len(unknown)) / 10
    assert found.length[0] < unknown.sum() + 0.05 * len(unknown)
    assert found.final[0] == pytest.approx(2 - unknown.mean().item(), abs=0.05)


@pytest.mark.parametrize("chances", [None, EVEN])
def test_agrees_with_one_that_starts_over_for_every_block(chances):
    labels = symbols(lags=2)
    states = one_hot(labels) + 0.5 * unrelated(labels, CLASSES)
    found = online_code(states, labels, CLASSES, chances=chances)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    starts = blocks(64, 50)
    h, x = standardised(states[order]), labels[order].flatten(0, 1)
    assert found.starts == starts
    naive = [np.full((50, 2), 2.0)]
    for start, end in pairwise(starts[1:]):
        last = (start - start // 5) * 50 if start >= 5 else (start - 1) * 50
        last = last if start > 1 else 40
        naive.append(from_scratch(h, x, last, start * 50, end * 50, chances))
    per_sequence = np.concatenate(naive).reshape(64, 50, 2).mean(1)
    assert np.allclose(found.coded, per_sequence, atol=1e-4)


def from_scratch(states, labels, last, start, end, chances):
    """Bits of the rows from `start` to `end`; rows before that are known."""

    @cache
    def fitted(rows, ridge):
        decoder = Discriminant.fit(Moments.of(states[:rows], labels[:rows], CLASSES), ridge)
        return decoder, decoder.log_share if chances is None else EVEN.log().expand(2, -1)

    def told(rows, ridge, factor, lag, some):
        decoder, share = fitted(rows, ridge)
        scores = decoder.scores(states[some])[:, lag : lag + 1]
        return log_likelihood(scores, factor, share[lag : lag + 1], labels[some, lag : lag + 1])

    some = slice(last, start, -(-(start - last) // ROWS))
    doubt = 1 / (len(range(*some.indices(start))) + 2)
    bits = []
    for lag in range(2):
        choices = [(ridge, factor) for ridge in RIDGES for factor in TEMPERATURES]
        ridge, factor = max(choices, key=lambda c: told(last, *c, lag, some).mean().item())
        chance = told(start, ridge, factor, lag, slice(start, end)).exp()
        alone = told(start, ridge, 0.0, lag, slice(start, end)).exp()
        bits.append(-((1 - doubt) * chance + doubt * alone).log2())
    return torch.cat(bits, dim=1).double().numpy()


def test_the_block_that_is_coded_is_not_looked_at():
    """Change what comes later: what was sent before costs the same, bit for bit."""
    labels, starts = symbols(), blocks(64, 50)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    changed = labels.clone()
    changed[order[starts[-2] :]] = symbols(seed=5)[order[starts[-2] :]]
    states = hidden(labels, 40)
    a, b = (online_code(states, x, CLASSES, chances=EVEN) for x in (labels, changed))
    assert np.array_equal(a.coded[: starts[-2]], b.coded[: starts[-2]])
    assert b.final[0] < 0


def test_effort_lies_between_blocks_on_a_log_scale():
    labels = symbols()
    found = online_code(hidden(labels), labels, CLASSES, chances=EVEN)
    half, curve, samples = found.final[0] / 2, found.curve[:, 0], found.samples
    after = int(np.argmax(curve >= half))
    share = (half - curve[after - 1]) / (curve[after] - curve[after - 1])
    expected = samples[after - 1] * (samples[after] / samples[after - 1]) ** share
    assert found.effort[0] == pytest.approx(expected)
    assert found.saved[0] == pytest.approx(np.average(curve, weights=np.diff(found.starts)))


@pytest.mark.parametrize(("sequences", "steps"), [(16, 1), (16, 50), (1000, 1), (77, 3), (1, 1)])
def test_blocks_double(sequences, steps):
    starts = blocks(sequences, steps)
    assert starts[0] == 0
    assert starts[-1] == sequences
    assert all(2 * a - 1 <= b <= 2 * a for a, b in pairwise(starts[1:]))
    assert starts[1] * steps >= min(16, sequences * steps) // 2


def test_few_samples_in_many_dimensions_cost_little():
    """One symbol per sequence, more features than symbols sent: a sure decoder would pay dearly."""
    labels = symbols(1000, 1)
    states = 4 * F.pad(one_hot(labels), (0, 96)) + unrelated(labels, 100)
    found = online_code(states, labels, CLASSES)
    assert found.curve.min() > -0.2
    assert found.saved[0] > 1.5


@pytest.mark.parametrize(
    ("sequences", "reason"),
    [
        (4, "4 sequences are too few to hold any out; 8 are needed"),
        (12, "12 sequences are too few to send half of them last; 16 are needed"),
    ],
)
def test_says_why_nothing_can_be_estimated(sequences, reason):
    labels = symbols(sequences)
    found = online_code(one_hot(labels) + unrelated(labels, CLASSES), labels, CLASSES)
    assert found.reasons == (reason,)
    assert found.verdicts == ("not estimable",)
    assert math.isnan(found.effort[0])


def test_states_that_never_change_say_nothing():
    labels = symbols()
    found = online_code(torch.ones(64, 50, 3), labels, CLASSES)
    assert found.reasons == ("the states never change: their variance is zero",)
