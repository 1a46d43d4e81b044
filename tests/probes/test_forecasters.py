"""Use of real-valued inputs against closed forms and a naive twin."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

import seqprobe
from seqprobe.contracts import Readout
from seqprobe.errors import UsageError
from seqprobe.estimators.effects import kl_bits
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.carry_over import CarryOver
from seqprobe.probes.context import Context
from seqprobe.probes.evidence.predicting import Values
from seqprobe.probes.order import Order
from seqprobe.probes.position import Position
from seqprobe.probes.window import Window
from seqprobe.reference.forecasters import lag_forecaster, lag_influence
from seqprobe.reference.zoo import Stack
from seqprobe.runner.observe import Observer
from seqprobe.sequences.lagged import LaggedStream

LAG, TIME = 12, 96
ABSENT = lag_influence() / 2  # zero in place of a value: x² on average, and not (x' - x)²


@dataclass(frozen=True)
class Scaled:
    """The same series in other units, each feature in one of its own."""

    of: LaggedStream
    by: torch.Tensor
    source: str = "scaled"
    sha256: str = ""
    tokenization: str = "none"
    split: str = ""
    frequencies: None = None
    guess: None = None
    texts: None = None
    longest: None = None

    def take(self, numbers, length):
        return self.of.take(numbers, length) * self.by


def observe(model, probe, numbers, *, lag=LAG, scale=None, time=TIME):
    stream = LaggedStream(lag, model.features, model.dtype)
    stream = stream if scale is None else Scaled(stream, torch.tensor(scale))
    needs = replace(probe.needs, length=time)
    return Observer(model, needs, stream, None).observe(numbers).observation


def measured(model, probe, count=128, **more):
    return probe.update(observe(model, probe, range(count), **more)).compute()


def column(found, name, table=0):
    return np.array(found.series[table].column(name), dtype=float)


def holds(found, truth):
    """Noise and draws come from 32 sequences, in which variances are off by some hundredths."""
    assert 0.92 * found.low < truth < 1.08 * found.high
    assert found.high - found.low < 0.5 * truth


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("features", [1, 2])
def test_one_value_is_used_and_no_other(features):
    found = measured(lag_forecaster(LAG, features), Position(LAG - 1))
    kl = column(found, "kl_bits")
    assert set(np.flatnonzero(kl)) == {LAG - 1}
    holds(found.metrics["at_distance"], lag_influence(features=features))
    assert found.metrics["horizon"].value == LAG - 1
    assert found.metrics["at_distance"].null.value == 0


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("lag", [1, 5, 12])
def test_context_needs_the_lag(lag):
    found = measured(lag_forecaster(lag), Context(lag), lag=lag)
    needed = found.metrics["effective_length"]
    assert (needed.low, needed.value, needed.high) == (lag, lag, lag)
    if lag > 1:
        lengths, kl = column(found, "length"), column(found, "kl_bits")
        assert (kl[lengths >= lag] == 0).all()
        assert kl[lengths < lag] == pytest.approx(ABSENT, rel=0.25)
        holds(found.metrics["bits_from_context"], ABSENT)
    assert found.metrics["copied_bits"].value is None
    assert np.isnan(column(found, "top_changed")).all()


@pytest.mark.usefixtures("double")
def test_order_matters_up_to_the_lag():
    found = measured(lag_forecaster(LAG), Order(LAG))
    assert found.metrics["span"].value == LAG
    distances = column(found, "distance")
    for edit, truth in (("shuffle", 2 * ABSENT), ("drop", ABSENT), ("replace", 2 * ABSENT)):
        bits = column(found, f"{edit}_bits")
        assert (np.abs(bits[distances >= LAG]) < 1e-12).all()
        assert bits[distances < 8] == pytest.approx(truth, rel=0.35)
    assert column(found, "within_bits")[distances == 8] == 0, "the lag is not among the last eight"
    assert column(found, "within_bits")[distances == 16] > 1


@pytest.mark.usefixtures("double")
def test_the_loss_is_that_of_its_own_errors_at_any_position():
    """And half a bit over ln 2 of each, by the definition of the noise."""
    found = measured(lag_forecaster(4), Window(), lag=4)
    ratio = found.metrics["extrapolation_ratio"]
    assert ratio.low <= 1 <= ratio.high + 1e-9
    loss = column(found, "mean")
    assert loss[-3:] == pytest.approx(0.5 / math.log(2), rel=0.15)
    assert loss[0] > 2, "before the lag it knows nothing"


@pytest.mark.usefixtures("double")
def test_carrying_is_worth_the_steps_before_the_lag():
    found = measured(lag_forecaster(LAG), CarryOver())
    holds(found.metrics["gain_bits"], ABSENT * (LAG - 1) / 32)
    assert found.metrics["gain_bits"].null.value == 0


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("probe", [Position(3), Context(3), Order(3), CarryOver()])
def test_units_do_not_matter(probe):
    plain = measured(lag_forecaster(4, 2), probe, 12, lag=4)
    scaled = measured(lag_forecaster(4, 2), probe, 12, lag=4, scale=[1e4, 1e-3])
    for name in ("at_distance", "bits_from_context", "drop_all", "gain_bits"):
        if name in plain.metrics:
            assert plain.metrics[name].value > 0.1
            assert scaled.metrics[name].value == pytest.approx(plain.metrics[name].value)


def gru(outputs=1, **more):
    torch.manual_seed(1)
    rnn, head = nn.GRU(2, 6, batch_first=True), nn.Linear(6, outputs)
    return SequenceModel(Stack(nn.Identity(), rnn, head), features=2, **more)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("predicts", ["next", "values", "classes"])
def test_equals_a_naive_twin(predicts):
    model, probe = gru(2, predicts=predicts), Position(3)
    observation = observe(model, probe, range(4), time=40)
    found = probe.update(observation).rows()["kl"]
    some = observe(model, probe, range(32), time=40).inputs
    told = model(some)[:, 20:-1]
    wrong = (told - some[:, 21:]).square().mean((0, 1)) if predicts == "next" else None
    variance = told.flatten(0, 1).var(0, correction=0) if wrong is None else wrong
    for row in range(4):
        generator, x = np.random.default_rng((0, row)), observation.inputs[row]
        bounds = np.linspace(0, 32, 17).round().astype(int)
        steps = generator.integers(bounds[:-1], bounds[1:])
        others = some.flatten(0, 1)[generator.integers(32 * 40, size=16)]
        plain, curves = model(x[None])[0], []
        for step, last, other in zip(steps, bounds[1:] - 1, others, strict=True):
            edited = x.clone()
            edited[step] = other
            now = model(edited[None])[0]
            bits = ((now - plain).square() / variance).sum(-1) / (2 * math.log(2))
            if predicts == "classes":
                bits = kl_bits(plain, now)
            if last + 20 < 40:
                curves.append(bits[step : step + 20].numpy())
        assert found[row] == pytest.approx(np.mean(curves, axis=0), rel=1e-9, abs=1e-15)


def test_results_do_not_depend_on_the_batches():
    model = gru(2)
    for probe in (Position(5), Context(5)):
        whole = probe.update(observe(model, probe, range(12)))
        parts = probe.update(observe(model, probe, range(5, 12)))
        parts = parts.update(observe(model, probe, range(5)))
        for name, rows in whole.rows().items():
            assert parts.rows()[name] == pytest.approx(rows, rel=1e-4, abs=1e-7, nan_ok=True)


def test_values_without_noise_differ_infinitely_or_not_at_all():
    read = Values(torch.tensor([0.0, 2.0]), (0, 1))
    plain = torch.tensor([1.0, 1.0])
    assert read.kl(plain, plain) == 0
    assert read.kl(plain, torch.tensor([1.0, 3.0])).item() == pytest.approx(0.5 / math.log(2))
    assert read.kl(plain, torch.tensor([1.1, 1.0])) == math.inf


def test_outputs_that_are_no_forecasts_have_a_divergence_alone():
    report = seqprobe.analyze(
        gru(3), data="synthetic:lag-4", probes=("position", "context", "order"), length=64,
        limit=8, distance=4,
    )  # fmt: skip
    assert report["position"].metrics["at_distance"].value is not None
    assert report["context"].metrics["effective_length"].reason == (
        "the outputs do not predict the inputs"
    )
    assert report["order"].status == "not applicable"
    assert "its outputs do not predict the next ones" in report["order"].headline
    assert "is its own, as it does not predict the next input" in report["position"].method


@pytest.mark.parametrize(
    ("data", "limit"), [("synthetic:lag-1", 16), ("synthetic:lag-20", 16), (None, 16)]
)
def test_nothing_is_concluded_from_a_memoryless_regressor(data, limit):
    model = SequenceModel(Stack(nn.Identity(), nn.Identity(), nn.Linear(2, 2)), features=2)
    report = seqprobe.analyze(
        model, data=data, probes=("position", "locality", "context", "order"), length=64,
        limit=limit, distance=20,
    )  # fmt: skip
    assert [f for f in report.findings if f.rule != "unused-beyond"] == []
    assert report["position"].metrics["horizon"].value == 0
    assert (np.array(report.table("position").column("kl_bits")[1:]) == 0).all()


def test_the_report_says_steps_and_names_the_noise():
    model = lag_forecaster(LAG)
    report = seqprobe.analyze(
        model, data=f"synthetic:lag-{LAG}", probes=("context", "window"), length=64, limit=32,
        distance=20,
    )  # fmt: skip
    check = report["context"]
    assert check.unit == check.metrics["effective_length"].unit == "steps"
    noise = observe(model, Context(), range(16), time=64).readout
    assert isinstance(noise, Readout)
    assert f", {noise.noise.item():.3g}, is the root mean square" in check.method
    assert "root mean square of its errors in predicting the next input" in check.method
    assert "token" not in f"{check.headline} {check.question} {report.verdict.headline}".lower()
    (step,) = [v for v in report.model.verification if "predicts the next" in v.step]
    assert step.status == "passed"
    assert 0.75 < float(str(step.value).partition("%")[0]) / 100 < 0.87, "1 - 0.19"


@pytest.mark.parametrize(
    ("predicts", "features", "got"),
    [
        ("next", None, "predicts='next', features=None"),
        ("next", 2, "predicts='next', 3 outputs for 2 features"),
    ],
)
def test_what_cannot_be_predicted_is_refused(predicts, features, got):
    module = gru(3).module if features else nn.Embedding(3, 3)
    with pytest.raises(UsageError, match=f"^SequenceModel: this cannot be what .*; got {got}; exp"):
        SequenceModel(module, features=features, predicts=predicts)
