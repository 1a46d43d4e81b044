"""Models that look ahead: every number by distance back has its twin by distance ahead."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from seqprobe.contracts import Observation
from seqprobe.models.autograd import Autograd
from seqprobe.models.costs import Costs
from seqprobe.models.interventions import Interventions
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.bottleneck import Bottleneck
from seqprobe.probes.evidence import replaced
from seqprobe.probes.evidence.changes import KL
from seqprobe.probes.evidence.decay_metrics import UNITS
from seqprobe.probes.evidence.kept import METRICS
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.probes.locality import Locality
from seqprobe.probes.path_length import PathLength
from seqprobe.probes.position import Position
from seqprobe.reference import zoo
from seqprobe.reference.zoo import Stack, content_attention

SYMBOLS, WIDTH, TIME = 5, 4, 40
MEMORIES = {
    "gru": lambda: nn.GRU(WIDTH, WIDTH, batch_first=True),
    "attention": lambda: content_attention(symbols=SYMBOLS, width=WIDTH).module.memory,
}


class Turned(nn.Module):
    """A causal memory that reads from the end: its past is what lies ahead."""

    def __init__(self, memory):
        super().__init__()
        self.memory = memory

    def forward(self, x):
        state = self.memory(x.flip(1))
        return (state[0] if isinstance(state, tuple) else state).flip(1)


class Around(nn.Module):
    """Each position sees `reach` positions on either side."""

    def __init__(self, reach):
        super().__init__()
        self.convolution = nn.Conv1d(WIDTH, WIDTH, 2 * reach + 1, padding=reach)

    def forward(self, x):
        return x + self.convolution(x.mT).mT


def around(reach, layers):
    blocks = nn.Sequential(*(Around(reach) for _ in range(layers)))
    return SequenceModel(Stack(nn.Embedding(SYMBOLS, WIDTH), blocks, nn.Linear(WIDTH, SYMBOLS)))


def constant_gates(back, ahead):
    """A bidirectional LSTM whose forget gates are sigmoid(back) and sigmoid(ahead) at all times."""
    lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True, bidirectional=True)
    embedding, head = nn.Embedding(SYMBOLS, WIDTH), nn.Linear(2 * WIDTH, SYMBOLS)
    for parameter in lstm.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        embedding.weight.mul_(1e-6)  # so small that nothing is saturated
        for suffix, bias in (("", back), ("_reverse", ahead)):
            getattr(lstm, f"bias_ih_l0{suffix}")[WIDTH : 2 * WIDTH] = bias
            getattr(lstm, f"weight_ih_l0{suffix}")[2 * WIDTH : 3 * WIDTH] = torch.eye(WIDTH)
        head.weight[:, WIDTH:] = head.weight[:, :WIDTH]
    return SequenceModel(Stack(embedding, lstm, head))


def seen(model, inputs, *, costs=False):
    derivatives = model.derivatives(inputs)
    chances = torch.full((SYMBOLS,), 1 / SYMBOLS)
    return Observation(
        sequences=range(len(inputs)),
        inputs=inputs,
        outputs=derivatives.observed.outputs,
        states=derivatives.observed.states,
        derivatives=derivatives,
        rerun=model,
        interventions=Interventions(model, inputs),
        jacobian=derivatives.jacobian if isinstance(derivatives, Autograd) else None,
        frequencies=chances,
        alphabet=torch.arange(SYMBOLS),
        mixers=model.mixers(inputs.shape[1]),
        costs=Costs(model) if costs else None,
        causal=model.causal,
    )


def mirrored(kind, probe, *, costs=False):
    """What a probe says of a causal model, and of the model that reads from the other end."""
    return [probe.update(each).compute() for each in pair(kind, costs=costs)]


def pair(kind, *, costs=False, sequences=10):
    """A causal model on some sequences, and the turned model on the turned sequences."""
    memory = MEMORIES[kind]()
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.mul_(1.5)
    outer = nn.Embedding(SYMBOLS, WIDTH), nn.Linear(WIDTH, SYMBOLS)
    tokens = torch.randint(SYMBOLS, (sequences, TIME))
    for each, inputs in ((memory, tokens), (Turned(memory), tokens.flip(1))):
        model = SequenceModel(Stack(outer[0], each, outer[1]))
        yield seen(model, inputs, costs=costs)


def table(measured, id):
    found = next(series for series in measured.series if series.id == id)
    return {column.name: found.column(column.name) for column in found.columns}


def numbers(cells):
    return np.array(cells, dtype=float)


def same(ours, theirs):
    for name in ("value", "low", "high"):
        one, other = getattr(ours, name), getattr(theirs, name)
        assert (one is None) == (other is None)
        assert one is None or one == pytest.approx(other, rel=1e-6, abs=1e-12)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("kind", ["gru", "attention"])
def test_gradients_of_a_turned_model_are_those_of_the_model_ahead(kind):
    causal, turned = mirrored(kind, GradientDecay(3))
    assert not any(name.endswith("_ahead") for name in causal.metrics)
    for name in UNITS:
        same(turned.metrics[f"{name}_ahead"], causal.metrics[name])
    ours, theirs = table(turned, "gradient-decay-ahead"), table(causal, "gradient-decay")
    for column in ("relative", "low", "high", "rms"):
        expected = numbers(theirs[column])[: len(ours[column])]
        assert numbers(ours[column]) == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert turned.metrics["horizon"].value == 0
    assert turned.metrics["half_life"].reason == "no gradient arrives from any earlier input"
    back, ahead = turned.headline.split(" Ahead: ")
    assert back == "Back: No gradient arrives from any input before the present one."
    assert ahead == causal.headline


@pytest.mark.usefixtures("double")
def test_a_bidirectional_lstm_forgets_by_each_gate_in_its_direction(show):
    measured = show(constant_gates(1.0, 3.0), GradientDecay(20))
    for id, bias in (("gradient-decay", 1.0), ("gradient-decay-ahead", 3.0)):
        gate = 1 / (1 + math.exp(-bias))
        columns = table(measured, id)
        curve = numbers(columns["relative"])[np.array(columns["site"]) == "output"]
        expected = gate ** np.arange(len(curve)) / 2
        assert curve[0] == 1
        assert curve[1:] == pytest.approx(expected[1:], rel=1e-9)
    for suffix, bias in (("", 1.0), ("_ahead", 3.0)):
        assert measured.metrics[f"rate{suffix}"].value == pytest.approx(
            math.log1p(math.exp(-bias)), rel=1e-6
        )
    assert measured.metrics["at_distance"].null.value == 0


@pytest.mark.parametrize(("reach", "layers"), [(1, 3), (2, 2)])
def test_gradients_of_two_sided_windows_end_with_them_on_both_sides(show, reach, layers):
    measured = show(around(reach, layers), GradientDecay(20), sequences=8, time=TIME)
    for id in ("gradient-decay", "gradient-decay-ahead"):
        columns = table(measured, id)
        curve = numbers(columns["relative"])[np.array(columns["site"]) == "output"]
        assert (curve[: reach * layers + 1] > 0).all()
        assert (curve[reach * layers + 1 :] == 0).all()


def lag_oracle(lag):
    """Predicts from the symbol `lag` steps ahead, and from nothing else."""
    oracle = zoo.lag_oracle(lag, SYMBOLS, 0.1)
    return SequenceModel(Turned(oracle.module), vocab_size=SYMBOLS)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("time", [18, 128])
def test_a_turned_lag_oracle_uses_its_lag_ahead_and_nothing_else(show, time):
    measured = show(lag_oracle(7), Position(7), time=time)
    truth = np.zeros(time // 2)
    truth[7] = zoo.lag_oracle_influence(SYMBOLS, 0.1)
    assert numbers(table(measured, "position-ahead")["kl_bits"]) == pytest.approx(truth, abs=1e-12)
    assert numbers(table(measured, "position")["kl_bits"]) == pytest.approx(0, abs=1e-12)
    metrics = measured.metrics
    assert metrics["at_distance_ahead"].value == pytest.approx(truth[7])
    assert (metrics["horizon"].value, metrics["horizon_ahead"].value) == (0, 7)
    assert measured.headline.startswith("No token before the present one moves the prediction. Ah")
    assert "up to 7 steps earlier" in measured.headline


@pytest.mark.parametrize("kind", ["gru", "attention"])
def test_edits_of_a_turned_model_change_before_them_what_they_changed_after_them(kind, monkeypatch):
    """The same edits, at mirrored places."""
    steps = torch.tensor([[3, 20, 39], [0, 1, 38]])
    drawn = iter((steps, TIME - 1 - steps))
    others = torch.tensor([[1, 2, 0], [3, 4, 2]])
    monkeypatch.setattr(
        replaced, "_drawn", lambda *_: (next(drawn), others, torch.ones(2, 3).double())
    )
    causal, turned = (replaced._replaced(each, 0, True) for each in pair(kind, sequences=2))
    assert causal.before.size == 0
    before, after = turned.before[..., KL:], causal.effects[..., KL:]  # without the loss
    assert before == pytest.approx(after, rel=1e-4, abs=1e-6, nan_ok=True)
    assert np.isnan(before[0, 0, 37:]).all()
    assert (turned.effects[0, 0, 1:4, KL:] == 0).all()
    assert np.isnan(turned.effects[0, 0, 4:]).all()


def test_two_sided_windows_use_nothing_beyond_them_on_either_side(show):
    measured = show(around(2, 2), Position(20), sequences=8, time=TIME)
    for id in ("position", "position-ahead"):
        curve = numbers(table(measured, id)["kl_bits"])
        assert (curve[:5] > 0).all()
        assert (np.abs(curve[5:]) < 1e-12).all()


def test_the_share_of_influence_ahead(show):
    """All of it in a model that reads from the end; half of it in a symmetric window."""
    everything = show(lag_oracle(7), Locality(7))
    assert everything.metrics["share_ahead"].value == 1
    assert everything.metrics["mean_distance_ahead"].value == pytest.approx(7)
    because = "replacing tokens changes no later prediction"
    assert everything.metrics["mean_distance"].reason == because
    symmetric = around(3, 1)
    with torch.no_grad():
        kernel = symmetric.module.memory[0].convolution.weight
        kernel += kernel.flip(2)
    both = show(symmetric, Locality(7), sequences=24)
    assert both.metrics["share_ahead"].value == pytest.approx(0.5, abs=0.05)
    assert table(both, "locality-ahead")["within"][-1] == 1


@pytest.mark.parametrize(("reach", "layers"), [(1, 3), (2, 2)])
def test_paths_through_two_sided_windows_are_as_long_on_both_sides(show, reach, layers):
    measured = show(around(reach, layers), PathLength(3), sequences=2, time=TIME)
    back, ahead = table(measured, "path-length"), table(measured, "path-length-ahead")
    whole = np.ceil(np.arange(reach * layers + 1) / reach)
    for side in (back, ahead):
        assert numbers(side["hops"])[: len(whole)].tolist() == whole.tolist()
        assert np.isnan(numbers(side["hops"])[len(whole) :]).all()
        assert np.isnan(numbers(side["operators"])[len(whole) :]).all()
    assert back["operators"] == ahead["operators"]
    for name in ("reach", "reach_ahead"):
        assert measured.metrics[name].value == reach * layers
    assert not measured.warnings


def test_hops_ahead_in_a_bidirectional_recurrence_are_steps(show):
    measured = show(constant_gates(0.0, 0.0), PathLength(9), sequences=2, time=TIME)
    for side in ("", "_ahead"):
        assert measured.metrics[f"at_distance{side}"].value == 9
    assert measured.headline.startswith("Back: 9 hops at distance 9, ")
    assert " Ahead: 9 hops at distance 9, " in measured.headline


def test_operators_and_reach_of_a_turned_model_are_those_of_the_model_ahead():
    """Its modules see positions the other way round: hops through them are not told."""
    causal, turned = mirrored("gru", PathLength(9), costs=True)
    same(turned.metrics["operators_at_distance_ahead"], causal.metrics["operators_at_distance"])
    same(turned.metrics["operators_exponent_ahead"], causal.metrics["operators_exponent"])
    same(turned.metrics["reach_ahead"], causal.metrics["reach"])
    assert turned.metrics["reach"].value == 0
    assert turned.metrics["operators_at_distance"].reason == "there is no path over 9 steps"
    for side in ("", "_ahead"):
        because = "how the model's own code mixes positions is unknown"
        assert turned.metrics[f"at_distance{side}"].reason == because


def test_a_turned_shift_register_keeps_what_lies_ahead_as_the_register_keeps_its_past(observe):
    register = zoo.shift_register(3, SYMBOLS).module
    parts = register.embedding, Turned(register.memory), register.head
    models = (
        SequenceModel(register, sites=["memory"]),
        SequenceModel(Stack(*parts), sites=["memory"]),
    )
    probe = Bottleneck(2)
    first = observe(models[0], probe, range(24), TIME)
    inputs = first.inputs.flip(1)
    states = {"memory": models[1].observe(inputs, gradients=False).states["memory"]}
    other = replace(first, inputs=inputs, states=states, causal=models[1].causal)
    causal, turned = (probe.update(each).compute() for each in (first, other))
    for name in METRICS:
        same(turned.metrics[f"{name}_ahead"], causal.metrics[name])
    assert table(turned, "bottleneck-ahead") == table(causal, "bottleneck")
    assert turned.metrics["horizon_ahead"].value == 3
    assert turned.metrics["horizon"].value == 1
    assert " bits about what lies ahead, up to 2 steps ahead. " in turned.headline
