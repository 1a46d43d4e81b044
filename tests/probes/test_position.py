"""Use of single tokens against closed forms and a naive twin."""

import itertools
import math

import numpy as np
import pytest
import torch

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.position import Position
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build


def kl(measurement):
    return np.array(measurement.series[0].column("kl_bits"), dtype=float)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("lag", "symbols", "epsilon"), [(7, 8, 0.1), (1, 4, 0.3), (30, 8, 0.01)])
def test_lag_oracle_uses_its_lag_and_nothing_else(show, lag, symbols, epsilon):
    measured = show(zoo.lag_oracle(lag, symbols, epsilon), Position(lag))
    truth = np.zeros(64)
    truth[lag] = zoo.lag_oracle_influence(symbols, epsilon)
    assert kl(measured) == pytest.approx(truth, abs=1e-12)
    assert measured.metrics["at_distance"].value == pytest.approx(truth[lag])
    assert measured.metrics["horizon"].value == lag
    assert measured.metrics["mass90"].value == lag


def test_the_published_influence_of_the_lag_oracle():
    """4.874 bits for eight symbols and one tenth of noise: worked out by hand."""
    high, low = 0.9125, 0.0125
    assert 7 / 8 * (high - low) * math.log2(high / low) == pytest.approx(4.874, abs=5e-4)
    assert zoo.lag_oracle_influence(8, 0.1) == pytest.approx(4.874, abs=5e-4)


def test_memoryless_uses_nothing_but_the_present(show):
    measured = show(zoo.memoryless(), Position(20))
    assert kl(measured)[0] > 0.01
    assert (kl(measured)[1:] == 0).all()
    assert measured.metrics["horizon"].value == 0
    assert measured.metrics["at_distance"].null.value == 0


def test_window_attention_uses_nothing_beyond_its_window(show):
    curve = kl(show(zoo.window_attention(5, layers=2), Position(20)))
    assert (curve[:9] > 0).all()
    assert (curve[9:] == 0).all()


@pytest.mark.usefixtures("double")
def test_equals_a_naive_twin(observe):
    """Every replacement, drawn freely: the weighted draw has the same mean."""
    model = SequenceModel(build("gru", vocab_size=3, width=4, layers=1).double())
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.mul_(3)
    probe = Position(1)
    observation = observe(model, probe, range(600), 32)
    measured = kl(probe.update(observation).compute())
    tokens, effects = observation.inputs, []
    plain = model(tokens).log_softmax(-1)
    for step, drawn in itertools.product(range(16), range(3)):
        edited = tokens.clone()
        edited[:, step] = drawn
        bits = (plain.exp() * (plain - model(edited).log_softmax(-1))).sum(-1) / math.log(2)
        effects.append(bits[:, step : step + 4].mean(0).numpy())
    assert measured[:4] == pytest.approx(np.mean(effects, axis=0), rel=0.08)


def test_change_of_loss_is_positive_where_the_token_matters(show):
    """Text that repeats after five steps, read by a model that expects just that."""
    model = zoo.lag_oracle(4)
    probe = Position(4)
    tokens = torch.randint(8, (16, 5)).repeat(1, 20)
    from seqprobe.contracts import Observation

    observation = Observation(
        range(16), tokens, model(tokens), rerun=model, frequencies=torch.full((8,), 1 / 8)
    )
    table = probe.update(observation).compute().series[0]
    loss = np.array(table.column("loss_bits"), dtype=float)
    high, low = 0.9125, 0.0125
    assert loss[4] == pytest.approx(7 / 8 * math.log2(high / low), abs=0.35)
    assert np.abs(np.delete(loss, 4)).max() < 1e-6
