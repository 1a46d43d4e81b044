"""Gradients over distance against closed forms, a naive twin, and captum."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum import attr
from torch.nn.functional import cross_entropy

from seqprobe.contracts import Measurement, Series
from seqprobe.errors import UsageError
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.evidence.attribution import METHODS
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build


def table(measurement: Measurement, id: str = "gradient-decay") -> Series:
    return next(series for series in measurement.series if series.id == id)


def relative(measurement: Measurement, site: str = "output") -> np.ndarray:
    found = table(measurement)
    pairs = zip(found.column("site"), found.column("relative"), strict=True)
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

    def test_its_gates_have_the_same_time_constant(self, show):
        measured = show(zoo.constant_gate_lstm(2.0), GradientDecay(20))
        constant = 1 / math.log1p(math.exp(-2))
        gates = table(measured, "gradient-decay-gates")
        shares = dict(zip(gates.column("distance"), gates.column("share"), strict=True))
        assert shares[math.floor(constant)] == 1
        assert shares[math.ceil(constant)] == 0
        found = measured.metrics["gate_time_constant"].value
        assert math.floor(constant) <= found <= math.ceil(constant)

    @pytest.mark.parametrize(("b", "share"), [(4.5, 0.0), (4.7, 1.0), (-4.7, 1.0)])
    def test_gates_within_a_hundredth_of_their_ends_are_saturated(self, show, b, share):
        """sigmoid(4.6) = 0.990."""
        found = show(zoo.constant_gate_lstm(b), GradientDecay(20)).metrics["saturated_gates"]
        assert (found.low, found.value, found.high) == (share, share, share)
        assert (found.n, found.null.value) == (16, 0)

    @pytest.mark.parametrize("a", [1.0, 0.9])
    def test_stacked_integrators_grow_at_no_rate(self, show, a):
        metrics = show(zoo.leaky(a, layers=2), GradientDecay(20)).metrics
        assert metrics["steady_rate"].value == pytest.approx(-math.log(a), abs=1e-9)
        assert metrics["rate"].value < -math.log(a) - 0.02

    @pytest.mark.parametrize("a", [0.5, 0.9])
    def test_the_mean_distance_of_a_leaky_integrator(self, show, a):
        """a / (1 - a), but for what lies beyond the window."""
        measured = show(zoo.leaky(a), GradientDecay(20))
        n = len(relative(measured))
        truth = a / (1 - a) - n * a**n / (1 - a**n)
        assert measured.metrics["mean_distance"].value == pytest.approx(truth, rel=1e-9)

    @pytest.mark.parametrize("a", [0.5, 0.9])
    def test_leaky_integrator(self, show, a):
        curve = relative(show(zoo.leaky(a), GradientDecay(20)))
        assert np.abs(curve / a ** np.arange(len(curve)) - 1).max() < 1e-12

    def test_orthogonal_rnn_is_flat_and_has_no_half_life(self, show):
        measured = show(zoo.orthogonal_rnn(), GradientDecay(20))
        assert np.abs(relative(measured, "memory.state_l0") - 1).max() < 1e-6
        half_life = measured.metrics["half_life"]
        assert half_life.value is None
        assert half_life.reason.startswith("no decay")
        assert half_life.low == 95
        assert table(measured).column("law")[0] == "flat"

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
        assert measured.metrics["half_life"].reason == "no gradient arrives from any earlier input"


@pytest.mark.usefixtures("double")
class Mean(torch.nn.Module):
    """Every output is the mean of all inputs, earlier and later ones."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(8, 8)

    def forward(self, tokens):
        return self.embedding(tokens).mean(1, keepdim=True).expand(-1, tokens.shape[1], -1)


@pytest.mark.usefixtures("double")
def test_the_null_is_the_gradient_to_later_inputs_relative_to_distance_zero(observe):
    """In a model that passes for causal; one that is known to look ahead has none."""
    observation = observe(SequenceModel(Mean()), GradientDecay(20), range(4), 48)
    measured = GradientDecay(20).update(replace(observation, causal=True)).compute()
    assert np.abs(relative(measured) - 1).max() < 1e-9
    assert measured.metrics["at_distance"].null.value == pytest.approx(1, rel=1e-9)


def test_a_flat_curve_is_settled(observe):
    """No further sequence would give it a half-life."""
    probe = GradientDecay(20)
    assert probe.update(observe(zoo.orthogonal_rnn(), probe, range(16), 64)).settled


@pytest.mark.parametrize("kind", ["gru", "attention"])
def test_exact_norms_equal_a_naive_jacobian(observe, kind):
    model = SequenceModel(build(kind, vocab_size=3, width=4, layers=2).double())
    probe = GradientDecay(5, exact=True)
    rows = probe.update(observe(model, probe, range(2), 16)).rows()
    generators = [probe.random(number) for number in range(2)]
    targets = [int(g.integers(12, 13)) for g in generators]
    observation = observe(model, probe, range(2), 16)
    for row, target in enumerate(targets):
        tokens = observation.inputs[row : row + 1]

        def output(embedded, target=target, tokens=tokens):
            return model.from_embeddings(tokens, embedded)[0, target]

        embedded = model.module.embedding(tokens).detach()
        jacobian = torch.autograd.functional.jacobian(output, embedded)[:, 0]
        truth = jacobian.square().sum((0, 2)).flip(0)[16 - 1 - target :][:13]
        assert np.allclose(np.exp(rows["output/squares"][row, 0]), truth, rtol=1e-9)


def test_projections_agree_with_exact_norms_within_their_stated_error(show):
    model = SequenceModel(build("lstm", vocab_size=16, width=32, layers=2))
    probe = GradientDecay(20)
    exact, sampled = (
        show(model, replace(probe, exact=e), sequences=32, time=64) for e in (True, False)
    )
    error = np.array(table(sampled).column("projection_error")[:49])
    off = np.log(relative(sampled) / relative(exact)) / np.hypot(error, error[0])
    assert 0 < error.max() < 0.2
    assert not any(table(exact).column("projection_error"))
    assert np.abs(off[1:]).max() < 4
    assert np.abs(off[1:]).mean() < 2


def test_the_loss_has_a_gradient_of_its_own(observe):
    model = SequenceModel(build("gru", vocab_size=5, width=8, layers=1).double())
    probe = GradientDecay(5)
    observation = observe(model, probe, range(1), 16)
    rows = probe.update(observation).rows()
    target = int(probe.random(0).integers(12, 13))
    embedded = model.module.embedding(observation.inputs).detach().requires_grad_()
    outputs = model.from_embeddings(observation.inputs, embedded)
    loss = cross_entropy(outputs[0, target], observation.inputs[0, target + 1])
    (gradient,) = torch.autograd.grad(loss, embedded)
    truth = gradient[0].square().sum(-1)[: target + 1].flip(0)
    assert np.allclose(np.exp(rows["loss/squares"][0, 0]), truth, rtol=1e-6)


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


def test_thirds_of_the_sequence_are_told_apart(show):
    """A model whose output grows with the position has larger gradients late, not another decay."""
    measured = show(zoo.uniform_attention(), GradientDecay(20), time=60)
    thirds = table(measured, "gradient-decay-position")
    longest = dict(zip(thirds.column("third"), thirds.column("distance"), strict=True))
    assert longest == {"first": 10, "middle": 20, "last": 45}
    assert np.allclose(thirds.column("relative"), 1)


def test_it_asks_for_more_until_half_life_and_horizon_are_known(observe):
    model = SequenceModel(build("lstm", vocab_size=8, width=8, layers=1))
    few, many = (
        GradientDecay(20, precision=0.1).update(observe(model, GradientDecay(20), range(n), 64))
        for n in (4, 128)
    )
    assert not few.settled
    assert many.settled
    for name in ("half_life", "horizon"):
        known = many.compute().metrics[name]
        assert known.high - known.low <= 0.2 * known.value
    unsettled = replace(many, precision=1e-4)
    assert not unsettled.settled
    assert any("less precisely than 0%" in warning for warning in unsettled.compute().warnings)


def test_gradients_equal_captums_saliency():
    model = SequenceModel(build("lstm", vocab_size=8, width=8, layers=1))
    tokens = model.example(2, 12)
    observed = model.observe(tokens)
    (ours,) = torch.autograd.grad(observed.outputs[:, -1, 3].sum(), observed.embeddings)

    def forward(embedded):
        return model.module.head(model.module.rnn(embedded)[0])[:, -1]

    theirs = attr.Saliency(forward).attribute(model.module.embedding(tokens), target=3)
    assert torch.allclose(ours.abs(), theirs, atol=1e-6)
    direction = torch.eye(8)[3].expand(2, 1, 1, 8)
    logs = model.derivatives(tokens).gradients("output", torch.full((2, 1), 11), direction, 11)
    norms = (logs.log_squares[:, 0, 0] / 2).exp().flip(1)
    assert torch.allclose(norms.float(), theirs.norm(dim=-1), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_attributions_stand_beside_the_gradient(show, method):
    measured = show(
        SequenceModel(build("gru", vocab_size=8, width=8, layers=1)),
        GradientDecay(5, attribution=method),
        sequences=8,
        time=24,
    )
    curve = table(measured, "gradient-decay-attribution").column("relative")
    assert curve[0] == 1
    assert 0 < curve[-1] < 0.5


def test_attributions_of_a_linear_model_are_known(show):
    """y_t = sum over k of a^k x_{t-k}: every method gives a^k |x|, ablation too."""
    for method in METHODS:
        measured = show(zoo.leaky(0.5), GradientDecay(5, attribution=method), sequences=64, time=32)
        curve = np.array(table(measured, "gradient-decay-attribution").column("relative"))
        assert np.abs(np.log(curve[:8] / 0.5 ** np.arange(8))).max() < 0.5


def test_a_wrong_wish_is_refused_at_once():
    with pytest.raises(UsageError, match="no attribution 'magic'; expected one of integrated-gra"):
        GradientDecay(5, attribution="magic")
    with pytest.raises(UsageError, match="a precision has to be above 0; got 0"):
        GradientDecay(5, precision=0)
