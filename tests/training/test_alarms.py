"""Alarms ring after so many measurements in a row, on models that are broken, and on no others."""

from contextlib import suppress

import pytest
import torch
from torch import nn

from seqprobe.contracts import Estimate, Measurement, Null
from seqprobe.errors import NotApplicable, UsageError
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.probes.gradient_draw import GradientDraw
from seqprobe.probes.heads import Heads
from seqprobe.probes.loss_gradient import LossGradient
from seqprobe.probes.states import States
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build
from seqprobe.training.alarms import Alarms

NULL = Null("nothing", 0.0)


def measured(**high: float | None) -> Measurement:
    """Estimates by name, below a number; without an interval where that is None."""
    metrics = {
        name: Estimate(1e-9, "", low=None if top is None else 0.0, high=top, n=8, null=NULL)
        for name, top in high.items()
    }
    return Measurement("", metrics, next(iter(metrics)))


GONE, THERE = measured(at_distance=1e-8), measured(at_distance=1.0)
GROWING = Estimate(-1.0, "", low=-2.0, high=-0.5, null=NULL)
COLLAPSED, SPREAD = measured(mean_entropy_ratio=0.01), measured(mean_entropy_ratio=0.5)


def rung(alarms: Alarms, check: str, *heard: Measurement) -> list[list[str]]:
    return [[found.rule for found in alarms.hear(check, each)] for each in heard]


def test_a_rule_has_to_hold_for_several_measurements_in_a_row() -> None:
    alarms = Alarms(100, "recurrent", 3)
    heard = rung(alarms, "gradient-decay", GONE, GONE, THERE, GONE, GONE, GONE, GONE, GONE)
    assert heard == [[], [], [], [], [], ["gradient-vanished"], [], []]


def test_an_alarm_rings_again_after_its_rule_was_silent() -> None:
    alarms = Alarms(100, "recurrent", 2)
    heard = rung(alarms, "gradient-decay", GONE, GONE, GONE, THERE, GONE, GONE, GONE)
    assert [bool(each) for each in heard] == [False, True, False, False, False, True, False]


def test_at_once_with_a_patience_of_one() -> None:
    heard = rung(Alarms(100, "recurrent", 1), "gradient-decay", GONE, GONE, THERE, GONE)
    assert [len(each) for each in heard] == [1, 0, 0, 1]


def test_checks_and_rules_are_counted_apart() -> None:
    alarms = Alarms(100, "hybrid", 2)
    vanished = [
        rung(alarms, "gradient-decay", GONE),
        rung(alarms, "heads", SPREAD),
        rung(alarms, "gradient-draw", GONE),
        rung(alarms, "heads", COLLAPSED),
        rung(alarms, "gradient-decay", GONE),
        rung(alarms, "heads", COLLAPSED),
        rung(alarms, "gradient-draw", THERE),
        rung(alarms, "gradient-draw", GONE),
    ]
    assert [each for (each,) in vanished] == [
        [], [], [], [], ["gradient-vanished"], ["entropy-collapse"], [], [],
    ]  # fmt: skip
    both = Measurement(
        "",
        {**GONE.metrics, "rate": GROWING, "steady_rate": GROWING},
        "rate",
    )
    alarms = Alarms(100, "recurrent", 2)
    heard = rung(alarms, "gradient-decay", GONE, both, both)
    assert heard == [[], ["gradient-vanished"], ["gradient-explodes"]]


def test_what_has_no_interval_rings_nothing() -> None:
    nothing = measured(at_distance=None)
    assert rung(Alarms(100, "recurrent", 1), "gradient-decay", nothing, nothing) == [[], []]


@pytest.mark.parametrize("patience", [0, -1])
def test_a_patience_is_a_number_of_measurements(patience: int) -> None:
    with pytest.raises(UsageError, match=r"a patience that is no number .*expected an integer"):
        Alarms(100, "recurrent", patience)


@pytest.fixture
def rings(show_training, show):
    """The rules that ring at patience 3 while new batches go through a model that stays."""

    def rung_by(model, probe, *, distance=30, batch=8, time=96):
        alarms, found = Alarms(distance, model.family, 3), set()
        for _ in range(3):
            if probe.needs.stream == "loop":
                measured = show_training(model, probe, _batch(model, batch, time))
            else:
                measured = show(model, probe, sequences=batch, time=time)
            found |= {ring.rule for ring in alarms.hear(probe.id, measured)}
        return found

    return rung_by


def _batch(model, batch, time):
    if model.features:
        return torch.randn(batch, time, model.features)
    return torch.randint(model.vocab_size, (batch, time))


def lstm(forget=None):
    """With this forget bias."""
    model = SequenceModel(build("lstm", vocab_size=8, width=16, layers=1))
    if forget is not None:
        model.module.rnn.bias_ih_l0.data[16:32] = forget
    return model


def attention(factor=1.0):
    """With queries so many times as large."""
    model = SequenceModel(build("attention", vocab_size=8, width=16, layers=2, heads=4, context=96))
    for name, weight in model.module.named_parameters():
        if factor != 1 and "attention" in name and weight.ndim == 2 and weight.shape[0] == 48:
            weight.data[:16] *= factor
    return model


BROKEN = {
    "gradient-vanished": [
        (lambda: zoo.constant_gate_lstm(-1.0), GradientDecay(30, whole=False)),
        (lambda: zoo.constant_gate_lstm(-1.0), GradientDraw(30, draws=8)),
        (lambda: lstm(-3.0), GradientDraw(30, draws=8)),
    ],
    "gates-saturated": [
        (lambda: lstm(20.0), States(30)),
        (lambda: lstm(-20.0), States(30)),
    ],
    "entropy-collapse": [(lambda: attention(1e5), Heads(30))],
    "gradient-explodes": [
        (lambda: zoo.leaky(1.1), GradientDecay(30, whole=False)),
        (lambda: zoo.leaky(1.1), GradientDraw(30, draws=8)),
    ],
    "loss-gradient-grows": [(lambda: zoo.leaky(1.2), LossGradient(30))],
}


@pytest.mark.parametrize(
    ("rule", "broken", "probe"),
    [(rule, *each) for rule, some in BROKEN.items() for each in some],
)
def test_what_is_broken_rings(rings, rule, broken, probe):
    assert rule in rings(broken(), probe)


def test_gradients_that_are_not_finite_ring(rings):
    model = lstm()
    model.module.head.weight.data[0, 0] = torch.nan
    assert rings(model, LossGradient(30)) == {"loss-gradient-not-finite"}


HEALTHY = {
    "memoryless": zoo.memoryless,
    "lstm": lambda: lstm(2.0),
    "gru": lambda: SequenceModel(build("gru", vocab_size=8, width=16, layers=1)),
    "attention": attention,
    "uniform": zoo.uniform_attention,
}


@pytest.mark.parametrize("name", HEALTHY)
def test_what_is_healthy_does_not_ring(rings, name):
    for seed in range(3):
        torch.manual_seed(seed)
        for probe in (LossGradient(5), States(5), Heads(5), GradientDraw(5, draws=8)):
            with suppress(NotApplicable):
                found = rings(HEALTHY[name](), probe, distance=5, time=48)
                assert found <= ({"gradient-vanished"} if name == "memoryless" else set())


@pytest.mark.parametrize(
    ("distance", "rule"), [(30, {"gates-saturated"}), (1000, set())], ids=["short", "long"]
)
def test_gates_that_the_task_needs_open_do_not_ring(rings, distance, rule):
    """19 of 20 keep for more than 100 steps, one for none: sigmoid(ln u) = u / (1 + u)."""
    rnn = nn.LSTM(4, 20, batch_first=True)
    for parameter in rnn.parameters():
        nn.init.zeros_(parameter)
    rnn.bias_ih_l0.data[20:39] = torch.linspace(101, 999, 19).log()
    model = SequenceModel(zoo.Stack(nn.Embedding(8, 4), rnn, nn.Linear(20, 8)))
    assert rings(model, States(30), distance=distance) == rule
