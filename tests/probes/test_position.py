"""Use of single tokens against closed forms and a naive twin."""

import itertools
import math

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation
from torch import nn
from torch.nn import functional as F

from seqprobe.contracts import Observation
from seqprobe.models.interventions import Interventions
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.evidence import replaced
from seqprobe.probes.evidence.changes import LOSS
from seqprobe.probes.locality import Locality
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


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("time", [16, 17, 24])
def test_of_a_short_sequence_every_step_but_the_last_eight_is_replaced(show, time):
    """An edit moves one of the last eight predictions where its lag ends among them."""
    probes = Position(5), Locality(5)
    measured, spread = (show(zoo.lag_oracle(5), probe, time=time) for probe in probes)
    influence, steps = zoo.lag_oracle_influence(8, 0.1), np.arange(time - 8)
    assert kl(measured) == pytest.approx(influence * (np.arange(time // 2) == 5), abs=1e-12)
    assert measured.series[1].column("position") == steps.tolist()
    last = np.array(measured.series[1].column("last_kl_bits"), dtype=float)
    assert last == pytest.approx(influence / 8 * (steps + 5 >= time - 8), abs=1e-12)
    assert spread.metrics["mean_distance"].value == pytest.approx(5)


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
    assert (np.abs(curve[9:]) < 1e-12).all()


@pytest.mark.usefixtures("double")
def test_equals_a_naive_twin(observe):
    """Every replacement, drawn freely: the weighted draw has the same mean."""
    model = SequenceModel(build("gru", vocab_size=3, width=4, layers=1).double())
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.mul_(3)
    probe = Position(1, exact=True)
    observation = observe(model, probe, range(200), 32)
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
    observation = Observation(
        range(16), tokens, model(tokens), interventions=Interventions(model, tokens),
        frequencies=torch.full((8,), 1 / 8),
    )  # fmt: skip
    table = probe.update(observation).compute().series[0]
    loss = np.array(table.column("loss_bits"), dtype=float)
    high, low = 0.9125, 0.0125
    assert loss[4] == pytest.approx(7 / 8 * math.log2(high / low), abs=0.35)
    assert np.abs(np.delete(loss, 4)).max() < 1e-6


class _Ends(nn.Module):
    """Names the first token and the one three steps back; everything else it ignores."""

    def forward(self, tokens):
        first = F.one_hot(tokens[:, :1], 8).expand(-1, tokens.shape[1], -1)
        back = F.pad(F.one_hot(tokens, 8)[:, :-3], (0, 0, 3, 0))
        return 2.0 * first + 2.0 * back


def test_the_middle_sags_where_only_the_ends_are_used(show):
    model = SequenceModel(_Ends(), vocab_size=8)
    metrics = show(model, Position(20, exact=True), sequences=32).metrics
    assert metrics["middle_bits"].value == 0
    assert metrics["middle_sag"].low > 0
    # of the first 15 steps one changes all 8 predictions, of the last 15 three change one each
    assert metrics["first_bits"].value == pytest.approx(metrics["last_bits"].value * 8 / 3, rel=0.3)


def test_the_last_predictions_and_the_means_of_stretches():
    """Where each effect is the step at which it is read, and each number its edit."""
    time, edits = 50, 42
    steps = np.arange(edits)[None]
    read = np.broadcast_to((steps[..., None] + np.arange(time))[..., None], (1, edits, time, 3))
    found = replaced.Replaced(steps, steps[0], read.astype(float), np.zeros(1), read[:, :, :0])
    assert found.on_the_last == pytest.approx(np.full((1, edits), np.mean(range(42, 50))))
    means = found.by_place(steps.astype(float))[0]
    ends = [*found.places[1:], edits]
    assert means == pytest.approx(
        [np.mean(range(a, b)) for a, b in zip(found.places, ends, strict=True)]
    )


@pytest.mark.parametrize(
    "build_model", [zoo.memoryless, lambda: zoo.lag_oracle(5), lambda: zoo.window_attention(4)]
)
def test_nothing_sags_where_use_only_fades(show, build_model):
    sag = show(build_model(), Position(20)).metrics["middle_sag"]
    assert sag.value == pytest.approx(0, abs=1e-12)
    assert sag.low == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", ["lstm", "attention"])
def test_equals_feature_ablation_of_captum(observe, kind):
    """Change of the loss at one step, for every earlier token replaced, on the same inputs."""
    model = SequenceModel(build(kind, vocab_size=8, width=16, layers=2, heads=2).double())
    observation = observe(model, Position(20, exact=True), range(3), 40)
    tokens, target = observation.inputs, 30
    found = replaced.replaced(observation, 0, exact=True)
    _, others, weights = replaced._drawn(observation, 0, True)

    def loss(edited):
        told = model(edited)[:, target].log_softmax(-1)
        following = tokens[:, target + 1].repeat(len(edited) // 3)
        return -told.gather(1, following[:, None])[:, 0] / math.log(2)

    ablated = FeatureAblation(loss).attribute(
        tokens, baselines=F.pad(others, (0, 8)), feature_mask=torch.arange(40)[None]
    )
    for step in range(target + 1):
        change = found.effects[:, step, target - step, LOSS] / weights[:, step].numpy()
        assert change == pytest.approx(-ablated[:, step].numpy(), abs=1e-9)


def test_exact_effects_are_those_of_every_step(observe):
    model = SequenceModel(build("gru", vocab_size=4, width=8, layers=1))
    sampled, exact = (
        Position(5, exact=exact).update(observe(model, Position(5), range(64), 40)).compute()
        for exact in (False, True)
    )
    assert kl(sampled)[:6] == pytest.approx(kl(exact)[:6], rel=0.25)
    assert exact.metrics["at_distance"].low < sampled.metrics["at_distance"].value
    assert exact.metrics["at_distance"].high > sampled.metrics["at_distance"].low


def test_results_do_not_depend_on_the_batch(observe):
    model = SequenceModel(build("lstm", vocab_size=8, width=8, layers=1))
    whole = Position(5).update(observe(model, Position(5), range(12), 40))
    split = Position(5).update(observe(model, Position(5), range(7), 40))
    split = split.update(observe(model, Position(5), range(7, 12), 40))
    assert kl(split.compute()) == pytest.approx(kl(whole.compute()), rel=1e-4, abs=1e-9)
