"""Single draws of the gradient over distance against closed forms and the full probe."""

import math

import numpy as np
import pytest
import torch

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.probes.gradient_draw import GradientDraw
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build


def curve(measured) -> np.ndarray:
    return np.array(measured.series[0].column("relative"), dtype=np.float64)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("sequences", "time"), [(1, 128), (8, 128), (8, 21)])
def test_constant_gate_lstm_decays_with_its_forget_gate(show, sequences, time):
    """Of 21 steps only the last one has an input 20 steps before it."""
    measured = show(zoo.constant_gate_lstm(2.0), GradientDraw(20), sequences=sequences, time=time)
    gate = 1 / (1 + math.exp(-2))
    found = curve(measured)
    assert len(found) == 21
    assert np.abs(found / gate ** np.arange(len(found)) - 1).max() < 1e-9
    assert measured.metrics["rate"].value == pytest.approx(-math.log(gate), rel=1e-6)
    assert measured.metrics["at_distance"].value == pytest.approx(gate**20, rel=1e-9)


def test_nothing_arrives_in_a_memoryless_model(show):
    measured = show(zoo.memoryless(), GradientDraw(20))
    assert measured.metrics["at_distance"].value == 0
    assert measured.metrics["horizon"].value == 0


def test_one_draw_has_no_interval_and_eight_have(show):
    model = zoo.leaky(0.9)
    one, eight = (show(model, GradientDraw(20), sequences=n).metrics for n in (1, 8))
    assert (one["at_distance"].low, one["at_distance"].high) == (None, None)
    assert not one["at_distance"].supports_findings
    assert eight["at_distance"].low <= eight["at_distance"].value <= eight["at_distance"].high
    assert eight["at_distance"].supports_findings


def test_many_draws_find_what_the_full_probe_finds(show):
    torch.manual_seed(1)
    model = SequenceModel(build("gru", width=32, layers=1, vocab_size=8, context=128))
    full = show(model, GradientDecay(40, exact=True, whole=False), sequences=16)
    drawn = show(model, GradientDraw(40), sequences=128, time=64)
    assert drawn.metrics["rate"].value == pytest.approx(full.metrics["rate"].value, rel=0.15)


def test_sequences_are_no_longer_than_the_distance_takes(show):
    assert GradientDraw(100).needs.length == 116
    assert not GradientDraw(100).needs.states
    assert len(curve(show(zoo.leaky(0.9), GradientDraw(100), sequences=1, time=116))) == 101
    assert len(curve(show(zoo.leaky(0.9), GradientDraw(20), sequences=1, time=16))) == 16
