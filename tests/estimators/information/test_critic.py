"""The clipped critic: a bound that stays below the truth, an estimate close to it."""

import math

import pytest
import torch

from seqprobe.estimators.information import pair_bits
from seqprobe.estimators.information.critic import Clip


def normal_pair(correlation, samples=1200, width=1):
    generator = torch.Generator().manual_seed(1)
    x, noise = torch.randn(2, samples, width, generator=generator)
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


def gaussian_bits(correlation, width=1):
    return -width * math.log2(1 - correlation**2) / 2


@pytest.mark.parametrize(("correlation", "width"), [(0.75, 1), (0.5, 10)])
def test_normal_pairs_have_their_closed_form(correlation, width):
    found, truth = (
        pair_bits(*normal_pair(correlation, width=width)),
        gaussian_bits(correlation, width),
    )
    assert found.estimate.value == pytest.approx(truth, abs=0.2 if width > 1 else 0.1)
    assert found.bound.low < truth
    assert found.bound.value <= found.estimate.value
    assert (found.bound.status, found.estimate.status) == ("bound", "estimate")
    assert found.bound.null.high < 0.01
    assert found.estimate.null.high < 0.1


def test_what_no_correlation_shows_is_found():
    """Sizes alone are common: y = x times independent signs, plus noise, in four columns."""
    generator = torch.Generator().manual_seed(0)
    size = torch.randn(1500, 1, generator=generator).exp()
    x, y = (size * torch.randn(2, 1500, 4, generator=generator)).unbind()
    found = pair_bits(x, y)
    assert found.bound.value > 0.2
    assert found.bound.null.high < 0.02


def test_additive_uniform_noise_has_its_closed_form():
    generator = torch.Generator().manual_seed(0)
    x, unit = torch.rand(2, 1200, 1, generator=generator)
    found = pair_bits(x, x + 0.4 * (2 * unit - 1))
    truth = (0.4 - math.log(0.8)) / math.log(2)
    assert found.estimate.value == pytest.approx(truth, abs=0.1)
    assert found.bound.low < truth


def test_folds_are_whole_sequences():
    """Marks of the sequence tell x from y only to a critic that saw the sequence."""
    generator = torch.Generator().manual_seed(0)
    marks = torch.randn(2, 24, 1, 8, generator=generator).expand(2, 24, 50, 8)
    x, y = (marks + 0.1 * torch.randn(2, 24, 50, 8, generator=generator)).flatten(1, 2)
    labels = torch.arange(24).repeat_interleave(50)
    found = pair_bits(x, y, sequences=labels)
    assert found.bound.n == 24
    assert found.bound.value < 0.1


def test_an_overconfident_critic_stays_a_bound():
    """Three times the log ratio says far too much; clipped in both terms it is still a bound."""
    x, y = (side[:, 0].double() for side in normal_pair(0.9, samples=50_000))
    truth = -math.log(1 - 0.81) / 2

    def log_ratio(y):
        return 3 * (truth + (0.9 * x * y - 0.405 * (x**2 + y**2)) / 0.19)

    together, apart = log_ratio(y), log_ratio(y.roll(1))[None]
    clip = Clip(1.0, 3.0)
    second_alone = together.mean() - clip(apart).exp().mean().log()
    assert clip.terms(together, apart).mean() < truth < second_alone
    chosen = Clip.chosen(together, apart)
    assert 0.8 * truth < chosen.terms(together, apart).mean() < truth + 0.01
    assert chosen(apart).exp().mean() == pytest.approx(1)  # no other offset gives a larger bound


def test_a_critic_of_nothing_claims_nothing():
    noise = torch.randn(11, 500, generator=torch.Generator().manual_seed(0)).double()
    clip = Clip.chosen(5 * noise[0], 5 * noise[1:])
    assert clip.scale == 0
    assert clip.terms(noise[0], noise[1:]).tolist() == pytest.approx([0.0] * 500)


def test_the_same_seed_gives_the_same_number():
    x, y = normal_pair(0.5, samples=300)
    before = torch.get_rng_state()
    assert pair_bits(x, y) == pair_bits(x, y)
    assert torch.equal(torch.get_rng_state(), before)
