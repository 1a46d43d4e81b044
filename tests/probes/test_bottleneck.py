"""Bits kept in the state against closed forms."""

import math

import numpy as np
import pytest
import torch

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.bottleneck import Bottleneck
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build


def column(measurement, name):
    return np.array(measurement.series[0].column(name), dtype=float)


@pytest.mark.parametrize(("depth", "symbols"), [(5, 8), (12, 4), (3, 16)])
def test_shift_register_holds_its_depth_and_no_more(show, depth, symbols):
    measured = show(zoo.shift_register(depth, symbols), Bottleneck(depth), sequences=64, time=96)
    bits = column(measured, "lower_bound")
    assert bits[:depth] == pytest.approx(np.full(depth, math.log2(symbols)), rel=0.02)
    assert (
        column(measured, "low")[depth:] <= np.maximum(column(measured, "null_high")[depth:], 0)
    ).mean() > 0.9
    assert np.abs(bits[depth:]).max() < 0.02
    assert measured.metrics["horizon"].value == depth
    assert measured.metrics["total_bits"].value == pytest.approx(
        depth * math.log2(symbols), rel=0.02
    )


def test_rotating_the_state_changes_nothing(show, observe):
    model, probe = zoo.shift_register(5, 8), Bottleneck(5)
    observation = observe(model, probe, range(64), 96)
    state = observation.states["memory"]
    rotation = torch.linalg.qr(torch.randn(state.shape[-1], state.shape[-1]))[0]
    observation.states["memory"] = state @ rotation
    bits = column(probe.update(observation).compute(), "lower_bound")
    assert bits[:5] == pytest.approx(np.full(5, 3.0), rel=0.02)
    assert np.abs(bits[5:]).max() < 0.02


@pytest.mark.parametrize("q", [0.3, 0.7])
def test_random_replacement_follows_its_closed_form(show, q):
    measured = show(zoo.random_replacement(q), Bottleneck(5), sequences=256, time=128)
    bits = column(measured, "lower_bound")
    truth = [zoo.random_replacement_bits(q, 8, k) for k in range(len(bits))]
    assert np.abs(bits - truth).max() < 0.03


def test_lower_bounds_stay_below_the_truth(show):
    measured = show(zoo.random_replacement(0.5), Bottleneck(5), sequences=256, time=128)
    truth = np.array([zoo.random_replacement_bits(0.5, 8, k) for k in range(65)])
    assert (column(measured, "low") <= truth + 1e-9).mean() > 0.95


def test_memoryless_keeps_the_present_alone(show):
    measured = show(zoo.memoryless(), Bottleneck(20), sequences=64)
    assert measured.metrics["horizon"].value == 1
    there = measured.metrics["bits_at_distance"]
    assert there.low <= max(there.null.high, 0)
    assert "nothing that could be found" in measured.headline


def test_nothing_is_found_in_a_state_of_noise(observe):
    """Wide noise and few samples: a decoder that overfits would claim bits here."""
    probe = Bottleneck(5)
    observation = observe(zoo.memoryless(), probe, range(32), 64)
    observation.states["memory"] = torch.randn(32, 64, 200)
    measured = probe.update(observation).compute()
    assert measured.metrics["horizon"].value == 0
    assert measured.metrics["total_bits"].value == 0
    assert column(measured, "lower_bound").max() < 0.01


def test_parity_hides_every_single_symbol(observe):
    """h_t = x_t xor h_{t-1} depends on every symbol and tells nothing about any one of them."""
    probe = Bottleneck(5)
    observation = observe(zoo.shift_register(1, 2), probe, range(64), 96)
    parity = observation.inputs.cumsum(1).remainder(2)[..., None].float()
    observation.states["memory"] = parity
    assert np.abs(column(probe.update(observation).compute(), "lower_bound")).max() < 0.01


def test_the_cell_state_is_part_of_the_state(show):
    model = SequenceModel(build("lstm", vocab_size=4, width=8, layers=2))
    measured = show(model, Bottleneck(5), sequences=32, time=64)
    sites = set(measured.series[0].column("site"))
    assert sites == {"all states", "rnn.state_l0", "rnn.state_l1"}
    assert "too low" in show(model, Bottleneck(5), sequences=8, time=32).warnings[0]


def test_constant_and_duplicate_features_do_no_harm(observe):
    probe = Bottleneck(5)
    observation = observe(zoo.shift_register(5, 8), probe, range(64), 96)
    state = observation.states["memory"]
    padded = torch.cat([state, state, torch.zeros_like(state), torch.ones_like(state)], dim=-1)
    observation.states["memory"] = padded
    bits = column(probe.update(observation).compute(), "lower_bound")
    assert bits[:5] == pytest.approx(np.full(5, 3.0), rel=0.02)
