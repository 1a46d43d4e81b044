"""What the state carries in all, against closed forms."""

import math

import numpy as np
import pytest
import torch

from seqprobe.errors import NotApplicable
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.capacity import Capacity
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build


@pytest.mark.parametrize(("depth", "symbols"), [(5, 8), (12, 4)])
def test_a_shift_register_carries_its_symbols(show, depth, symbols):
    measured = show(zoo.shift_register(depth, symbols), Capacity(5), sequences=64, time=96)
    bits, each = measured.metrics["bits"], measured.metrics["bits_per_state_float"]
    assert bits.value == pytest.approx(depth * math.log2(symbols), rel=0.02)
    assert each.value == pytest.approx(math.log2(symbols) / symbols, rel=0.02)
    assert bits.lower_bound
    assert each.ceiling == 32
    assert measured.warnings == ()
    assert "at least" in measured.headline


def test_a_memoryless_model_carries_the_present_symbol(show):
    bits = show(zoo.memoryless(), Capacity(5), sequences=64).metrics["bits"]
    assert bits.value == pytest.approx(3.0, rel=0.02)


def test_noise_carries_nothing(observe):
    probe = Capacity(5)
    observation = observe(zoo.memoryless(), probe, range(32), 64)
    observation.states["memory"] = torch.randn(32, 64, 20)
    measured = probe.update(observation).compute()
    assert measured.metrics["bits"].value == 0


def test_symbols_that_hide_each_other_are_recalled_one_after_the_other(observe):
    """h = 4 x_t + 2 x_{t-1} + x_{t-2}: three bits in one number."""
    probe = Capacity(5)
    observation = observe(zoo.shift_register(1, 2), probe, range(64), 96)
    x = observation.inputs.float()
    number = 4 * x + 2 * x.roll(1, dims=1) + x.roll(2, dims=1)
    observation.states["memory"] = number[..., None]
    measured = probe.update(observation).compute()
    assert measured.metrics["bits"].value == pytest.approx(3.0, rel=0.03)
    assert np.array(measured.series[0].column("total"))[2] == pytest.approx(3.0, rel=0.03)


def test_it_is_never_above_what_there_is(observe):
    """One of eight states at each step, whatever they depend on: three bits at most."""
    probe = Capacity(5)
    observation = observe(zoo.shift_register(1, 2), probe, range(64), 96)
    x = observation.inputs
    state = x + 2 * x.roll(1, dims=1) + 4 * ((x.roll(2, dims=1) + x.roll(3, dims=1)) % 2)
    observation.states["memory"] = torch.nn.functional.one_hot(state, 8).float()
    bits = probe.update(observation).compute().metrics["bits"]
    assert bits.low <= 3.0
    assert bits.value == pytest.approx(2.0, abs=0.05)


def test_a_read_out_that_wants_more_samples_says_so(show):
    model = SequenceModel(build("lstm", vocab_size=8, width=64, layers=2))
    warnings = show(model, Capacity(5), sequences=32, time=64).warnings
    assert "limited by the training of the read-out" in warnings[0]
    assert "raise --limit" in warnings[0]


def test_precision_of_the_model_is_the_ceiling_of_a_number(show):
    model = zoo.shift_register(2, 4)
    model.module.to(torch.float64)
    each = show(model, Capacity(5), sequences=32, time=64).metrics["bits_per_state_float"]
    assert each.ceiling == 64


def test_too_few_sequences_are_refused(show):
    with pytest.raises(NotApplicable, match="too few sequences to hold any out"):
        show(zoo.memoryless(), Capacity(5), sequences=7)
    half = show(zoo.memoryless(), Capacity(5), sequences=8).metrics["at_half_the_sequences"]
    assert "4 sequences are too few" in half.reason
