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
    each = measured.metrics["bits_per_state_float"].value
    assert each == pytest.approx(math.log2(symbols) / symbols, rel=0.02)


def test_far_away_some_distances_are_read_and_the_one_that_is_asked_for(show):
    """Distances 140 and 152 are read, and 149: so the register may end anywhere in between."""
    for distance, bits in ((149, 1.0), (150, 0.0)):
        probe = Bottleneck(distance, effort="linear")
        measured = show(zoo.shift_register(150, 2), probe, sequences=32, time=400)
        there, horizon = (measured.metrics[name] for name in ("bits_at_distance", "horizon"))
        assert there.value == pytest.approx(bits, abs=0.05)
        assert horizon.low <= 150 <= horizon.high <= 152
        lags = measured.series[0].column("distance")
        assert lags[:129] == list(range(129))
        assert {140, 152, 166, 181, 197, 200, distance} == {*lags[129:]}


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


def test_hidden_and_cell_state_are_read_together_and_apart(show):
    model = SequenceModel(build("lstm", vocab_size=4, width=8, layers=2))
    measured = show(model, Bottleneck(5), sequences=32, time=64)
    sites = dict.fromkeys(measured.series[0].column("site"))
    apart = [f"rnn.state_l{layer}{part}" for layer in (0, 1) for part in ("", " h", " c")]
    assert list(sites) == ["all states", *apart]
    few = show(model, Bottleneck(5), sequences=8, time=32)
    assert "too low" in few.warnings[0]
    assert "raise --limit" in few.warnings[0]


def test_hidden_and_cell_state_go_by_their_own_names(observe):
    """A hidden state of noise beside a cell state that is the present symbol."""
    model, probe = SequenceModel(build("lstm", vocab_size=4, width=8, layers=1)), Bottleneck(5)
    observation = observe(model, probe, range(32), 64)
    ((site, state),) = observation.states.items()
    cell = torch.nn.functional.one_hot(observation.inputs, 8)
    observation.states[site] = torch.cat([torch.randn_like(state[..., :8]), cell], dim=-1)
    table = probe.update(observation).compute().series[0]
    now = dict(zip(table.column("site")[::33], table.column("lower_bound")[::33], strict=True))
    assert now[f"{site} h"] == pytest.approx(0.0, abs=0.02)
    assert now[f"{site} c"] == pytest.approx(2.0, abs=0.05)


def test_noise_in_a_rotated_state_takes_what_it_must(observe):
    """Each of three symbols on axes of its own, under noise of a known capacity."""
    probe, depth, symbols, noise = Bottleneck(5), 3, 4, 0.4
    observation = observe(zoo.shift_register(depth, symbols), probe, range(128), 96)
    state, generator = observation.states["memory"], torch.Generator().manual_seed(3)
    rotation = torch.linalg.qr(torch.randn(depth * symbols, depth * symbols, generator=generator))[
        0
    ]
    noisy = state + noise * torch.randn(state.shape, generator=generator)
    observation.states["memory"] = noisy @ rotation
    bits = column(probe.update(observation).compute(), "estimate")
    truth = one_hot_bits(symbols, noise)
    assert 0.5 < truth < 1.9
    assert bits[:depth] == pytest.approx(np.full(depth, truth), abs=0.03)
    assert bits[:depth].sum() == pytest.approx(depth * truth, rel=0.02)
    assert np.abs(bits[depth:]).max() < 0.02


def one_hot_bits(symbols, noise, samples=400_000):
    """I(x; e_x + noise) for orthonormal codes, by Monte Carlo over the known density."""
    received = noise * torch.randn(samples, symbols, generator=torch.Generator().manual_seed(1))
    received[:, 0] += 1
    told = (received / noise**2).log_softmax(1)[:, 0].mean().item()
    return math.log2(symbols) + told / math.log(2)


@pytest.mark.parametrize("a", [0.5, 0.9])
def test_a_leaky_integrator_of_noise_follows_its_closed_form(show, a):
    width = 2
    measured = show(zoo.leaky(a, width), Bottleneck(5), sequences=128, time=128)
    k = np.arange(65)
    truth = -0.5 * width * np.log2(1 - a ** (2 * k) * (1 - a**2))
    assert np.abs(column(measured, "estimate") - truth).max() < 0.02
    assert (column(measured, "low") <= truth + 1e-3).mean() > 0.95
    assert measured.metrics["total_bits"].ceiling is None  # real numbers may hold any amount


def test_what_is_found_in_all_is_held_against_what_there_can_be(show, observe):
    held = show(zoo.memoryless(), Bottleneck(5), sequences=64).metrics["total_bits"]
    assert held.ceiling == pytest.approx(3)  # eight different states
    assert held.status == "saturated"
    probe = Bottleneck(5)
    observation = observe(zoo.memoryless(), probe, range(64), 64)
    observation.inputs[:, 1::2] = observation.inputs[:, :-1:2]  # each symbol comes twice
    observation.states["memory"] = torch.nn.functional.one_hot(observation.inputs, 8).float()
    warnings = probe.update(observation).compute().warnings
    assert any("more bits were found than independent symbols" in each for each in warnings)


def test_with_its_cache_attention_keeps_every_symbol(show):
    measured = show(zoo.uniform_attention(), Bottleneck(5), sequences=64, time=64)
    table = measured.series[0]
    sites, bits = np.array(table.column("site")), column(measured, "lower_bound")
    cached = [site for site in dict.fromkeys(sites) if "cache" in site]
    assert cached == ["with the cache of all positions"]
    assert bits[sites == cached[0]] == pytest.approx(np.full(33, 3.0), rel=0.02)
    assert bits[sites != cached[0]].max() < 0.5  # the average of all inputs


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("effort", ["ensemble", "full"])
def test_another_default_precision_does_no_harm(show, effort):
    probe = Bottleneck(3, effort=effort)
    measured = show(zoo.shift_register(3, 4), probe, sequences=32, time=32)
    assert column(measured, "lower_bound")[:3] == pytest.approx(np.full(3, 2.0), rel=0.02)
    noise = show(zoo.leaky(0.5, 2), Bottleneck(3), sequences=64, time=32)
    assert column(noise, "lower_bound")[0] > 0.2


def test_full_effort_says_how_hard_symbols_are_to_read(show):
    measured = show(zoo.shift_register(3, 4), Bottleneck(3, effort="full"), sequences=48, time=32)
    effort = measured.series[1]
    assert effort.id == "bottleneck-effort"
    said = effort.column("readability")
    assert {*said[:3]} == {"easy"}
    assert said[4:].count("gone") >= len(said[4:]) - 1
    assert column(measured, "lower_bound")[:3] == pytest.approx(np.full(3, 2.0), rel=0.02)


def test_a_state_that_never_changes_is_not_estimable(observe):
    probe = Bottleneck(5)
    observation = observe(zoo.memoryless(), probe, range(32), 64)
    observation.states["memory"] = torch.ones(32, 64, 3)
    measured = probe.update(observation).compute()
    assert all(each.value is None for each in measured.metrics.values())
    assert "their variance is zero" in measured.headline
    assert set(measured.series[0].column("lower_bound")) == {None}


def test_constant_and_duplicate_features_do_no_harm(observe):
    probe = Bottleneck(5)
    observation = observe(zoo.shift_register(5, 8), probe, range(64), 96)
    state = observation.states["memory"]
    padded = torch.cat([state, state, torch.zeros_like(state), torch.ones_like(state)], dim=-1)
    observation.states["memory"] = padded
    bits = column(probe.update(observation).compute(), "lower_bound")
    assert bits[:5] == pytest.approx(np.full(5, 3.0), rel=0.02)
