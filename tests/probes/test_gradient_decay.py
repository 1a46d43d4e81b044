"""Gradients over distance against closed forms, a naive twin, and captum."""

import itertools
import math

import numpy as np
import pytest
import torch
from captum.attr import Saliency

from seqprobe.contracts import Measurement
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.gradient_decay import GradientDecay, squared_norms
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build


def relative(measurement: Measurement, site: str = "output") -> np.ndarray:
    table = measurement.series[0]
    pairs = zip(table.column("site"), table.column("relative"), strict=True)
    return np.array([value for name, value in pairs if name == site])


@pytest.mark.usefixtures("double")
class TestClosedForms:
    @pytest.mark.parametrize("b", [0.0, 1.0, 2.0, 4.0])
    def test_constant_gate_lstm_decays_with_its_forget_gate(self, show, b):
        measured = show(zoo.constant_gate_lstm(b), GradientDecay(20))
        gate = 1 / (1 + math.exp(-b))
        curve = relative(measured)
        assert np.abs(curve / gate ** np.arange(len(curve)) - 1).max() < 1e-12
        half_life = measured.metrics["half_life"].value
        assert half_life == pytest.approx(zoo.constant_gate_half_life(b), rel=1e-3)
        assert measured.metrics["rate"].value == pytest.approx(-math.log(gate), rel=1e-9)

    def test_the_cell_state_counts_as_state(self, show):
        measured = show(zoo.constant_gate_lstm(2.0), GradientDecay(20))
        gate = 1 / (1 + math.exp(-2))
        curve = relative(measured, "memory.state_l0")
        assert np.abs(curve / gate ** np.arange(len(curve)) - 1).max() < 1e-12

    def test_leaky_integrator(self, show):
        curve = relative(show(zoo.leaky(0.9), GradientDecay(20)))
        assert np.abs(curve - 0.9 ** np.arange(len(curve))).max() < 1e-12

    def test_orthogonal_rnn_is_flat_and_has_no_half_life(self, show):
        measured = show(zoo.orthogonal_rnn(), GradientDecay(20))
        assert np.abs(relative(measured, "memory.state_l0") - 1).max() < 1e-6
        half_life = measured.metrics["half_life"]
        assert half_life.value is None
        assert half_life.reason.startswith("no decay")
        assert measured.series[0].column("law")[0] == "flat"

    def test_uniform_attention_is_flat(self, show):
        assert np.abs(relative(show(zoo.uniform_attention(), GradientDecay(20))) - 1).max() < 1e-9

    def test_window_attention_ends_with_its_window(self, show):
        curve = relative(show(zoo.window_attention(9, layers=2), GradientDecay(20)))
        assert (curve[:17] > 0).all()
        assert (curve[17:] == 0).all()

    def test_memoryless_shows_nothing(self, show):
        measured = show(zoo.memoryless(), GradientDecay(20))
        assert (relative(measured)[1:] == 0).all()
        assert measured.metrics["horizon"].value == 0
        assert measured.metrics["at_distance"].value == 0


@pytest.mark.usefixtures("double")
def test_projections_average_to_the_frobenius_norm_of_a_naive_jacobian():
    """Over all eight sign vectors of three outputs the mean is exact, not only expected."""
    model = SequenceModel(build("gru", vocab_size=3, width=4, layers=2).double())
    tokens, target = model.example(1, 10), 7
    observed = model.observe(tokens)
    signs = [torch.tensor([s]) for s in itertools.product((-1.0, 1.0), repeat=3)]
    steps = torch.tensor([target])
    squared = [squared_norms(observed.outputs, observed.embeddings, steps, v) for v in signs]

    def output(embedded):
        return model.module.head(model.module.rnn(embedded)[0])[0, target]

    embedded = model.module.embedding(tokens).detach()
    jacobian = torch.autograd.functional.jacobian(output, embedded)[:, 0]
    truth = jacobian.square().sum((0, 2))
    assert torch.allclose(torch.stack(squared).mean(0)[0], truth, rtol=1e-10)
    assert (truth[target + 1 :] == 0).all()


def test_the_result_does_not_depend_on_the_batches(observe):
    model, probe = SequenceModel(build("lstm", vocab_size=8, width=8, layers=1)), GradientDecay(20)
    whole = probe.update(observe(model, probe, range(12), 64)).compute()
    first, second = (
        probe.update(observe(model, probe, part, 64)) for part in (range(5), range(5, 12))
    )
    merged = second.merge(first).compute()
    for name, estimate in whole.metrics.items():
        assert merged.metrics[name].value == pytest.approx(estimate.value, rel=1e-5)


def test_a_distance_that_was_not_measured_is_said_to_be(show):
    there = show(zoo.memoryless(), GradientDecay(100), time=64).metrics["at_distance"]
    assert there.value is None
    assert there.reason == "distance 100 was not measured; 48 steps were"


def test_gradients_equal_captums_saliency():
    model = SequenceModel(build("lstm", vocab_size=8, width=8, layers=1))
    tokens = model.example(2, 12)
    observed = model.observe(tokens)
    (ours,) = torch.autograd.grad(observed.outputs[:, -1, 3].sum(), observed.embeddings)

    def forward(embedded):
        return model.module.head(model.module.rnn(embedded)[0])[:, -1]

    theirs = Saliency(forward).attribute(model.module.embedding(tokens), target=3)
    assert torch.allclose(ours.abs(), theirs, atol=1e-6)
