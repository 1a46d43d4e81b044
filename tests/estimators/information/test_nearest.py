"""Nearest neighbours against closed forms, another library, and comparison of all with all."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from seqprobe.estimators.information import ksg_bits, mixed_bits, nearest


def normal_pair(correlation, samples=3000, width=1):
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, samples, width, generator=generator).double()
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


def two_classes(apart, samples=3000):
    """Two normal laws, equally likely."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (samples,), generator=generator)
    return apart * labels[:, None] + torch.randn(samples, 1, generator=generator), labels


def bits_of_two_classes(apart):
    """By numerical integration of the entropy of the mixture."""

    def surprise(value):
        density = (norm.pdf(value) + norm.pdf(value - apart)) / 2
        return -density * math.log2(density)

    entropy = quad(surprise, -10, 10 + apart, limit=200)[0]
    return entropy - math.log2(2 * math.pi * math.e) / 2


@pytest.mark.parametrize("correlation", [0.0, 0.75, 0.99])
def test_a_normal_pair_has_its_closed_form(correlation):
    found = ksg_bits(*normal_pair(correlation))
    assert found.value == pytest.approx(-math.log2(1 - correlation**2) / 2, abs=0.06)
    assert found.null.value == pytest.approx(0, abs=0.05)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("noise", [0.1, 0.4])
def test_additive_uniform_noise_has_its_closed_form(noise):
    """A line with an edge: normal scores bend it and the information stays."""
    generator = torch.Generator().manual_seed(0)
    x, unit = torch.rand(2, 3000, 1, generator=generator).double()
    found = ksg_bits(x, x + noise * (2 * unit - 1))
    truth = (noise - math.log(2 * noise)) / math.log(2)
    assert found.value == pytest.approx(truth, abs=0.1)


def test_agrees_with_scikit_learn():
    x, y = normal_pair(0.75)
    theirs = mutual_info_regression(x.numpy(), y[:, 0].numpy(), n_neighbors=3, random_state=0)
    ours = ksg_bits(x, y, neighbours=3, normal=False)
    assert ours.value == pytest.approx(theirs[0] / math.log(2), abs=1e-3)


def test_labels_agree_with_scikit_learn():
    x, labels = two_classes(1.5)
    theirs = mutual_info_classif(x.numpy(), labels.numpy(), n_neighbors=3, random_state=0)
    ours = mixed_bits(x, labels, normal=False)
    assert ours.value == pytest.approx(theirs[0] / math.log(2), abs=1e-3)


@pytest.mark.parametrize("apart", [0.0, 1.5, 8.0])
def test_normal_classes_have_their_integral(apart):
    x, labels = two_classes(apart)
    found = mixed_bits(x, labels)
    assert found.value == pytest.approx(bits_of_two_classes(apart), abs=0.04)
    assert found.ceiling == pytest.approx(1, abs=0.01)
    assert found.status == ("saturated" if apart == 8 else "estimate")


def test_a_label_that_occurs_once_is_left_out():
    x, labels = two_classes(1.5)
    once = labels.clone()
    once[7] = 99
    assert mixed_bits(x, once).value == pytest.approx(mixed_bits(x, labels).value, abs=0.01)
    assert mixed_bits(x, torch.arange(len(x))).reason == (
        "0 sequences are too few; at least 8 are needed"
    )


@pytest.mark.parametrize("width", [1, 3])
def test_a_tree_finds_what_comparison_finds(width, monkeypatch):
    x, y = normal_pair(0.6, samples=600, width=width)
    by_tree = ksg_bits(x, y).value
    monkeypatch.setattr(nearest, "_TREE_DIMENSIONS", 0)
    assert ksg_bits(x, y).value == pytest.approx(by_tree, abs=1e-6)


def test_a_copy_reaches_the_ceiling():
    x, _ = normal_pair(0.0)
    found = ksg_bits(x, 2 * x + 1)
    assert found.value == pytest.approx(found.ceiling)
    assert found.status == "saturated"
    assert found.ceiling == pytest.approx(math.log2(3000 / 5), abs=0.2)


def test_monotone_maps_change_nothing():
    x, y = normal_pair(0.75)
    assert ksg_bits(x.exp(), y**3).value == pytest.approx(ksg_bits(x, y).value)


@pytest.mark.parametrize(
    ("samples", "width", "reason"),
    [
        (100, 11, "22 dimensions are too many for neighbours; at most 20"),
        (8, 1, "8 samples are too few for 9 neighbours"),
    ],
)
def test_says_why_not(samples, width, reason):
    found = ksg_bits(*normal_pair(0.5, samples, width), neighbours=9)
    assert found.value is None
    assert found.reason == reason


def test_labels_need_one_number_each():
    x, labels = two_classes(1.0)
    with pytest.raises(
        ValueError, match="pairs do not match; got x \\(3000, 1\\) and y \\(10, 1\\)"
    ):
        mixed_bits(x, labels[:10])


def test_one_label_alone_is_constant():
    x, labels = two_classes(1.0)
    assert mixed_bits(x, labels * 0).reason == "y is constant: it has zero variance"


def test_digamma_of_neighbours_is_natural():
    assert nearest.digamma(1) == pytest.approx(-np.euler_gamma)
