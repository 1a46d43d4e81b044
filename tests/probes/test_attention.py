"""What heads do, against closed forms, a circuit set by hand, and models that do nothing."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from seqprobe.errors import NotApplicable
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.attention import Attention
from seqprobe.reference import zoo
from seqprobe.reference.attention_circuits import fading_attention, induction_circuit
from seqprobe.reference.language_models import build

TIME = 128


def harmonic(n: int) -> float:
    return sum(1 / k for k in range(1, n + 1))


def value(measurement, name):
    return measurement.metrics[name].value


def table(measurement, id):
    return next(table for table in measurement.series if table.id == id)


def column(measurement, id, name):
    return np.array(table(measurement, id).column(name), dtype=float)


@pytest.mark.usefixtures("double")
def test_equal_weights(show):
    measured = show(zoo.uniform_attention(), Attention(), time=TIME)
    assert value(measured, "mean_entropy_ratio") == pytest.approx(1)
    assert value(measured, "mean_distance") == pytest.approx((TIME - 1) / 4)
    assert column(measured, "attention-heads", "first") == pytest.approx([harmonic(TIME) / TIME])
    assert value(measured, "sink_rate") == 0
    assert value(measured, "row_sum_error") < 1e-12
    second_copies = value(measured, "induction_score")
    assert second_copies == pytest.approx(measured.metrics["induction_score"].null.value, rel=0.1)
    for name in ("mean_entropy_ratio", "mean_distance", "previous_token_score"):
        assert value(measured, name) == pytest.approx(measured.metrics[name].null.value)
    shares, equal = (column(measured, "attention", name) for name in ("share", "equal_weights"))
    assert shares == pytest.approx(equal)


@pytest.mark.usefixtures("double")
def test_two_layers_of_equal_weights_roll_out_to_their_null(show):
    measured = show(zoo.uniform_attention(layers=2), Attention(), time=40)
    rollout = measured.metrics["rollout_mean_distance"]
    assert rollout.value == pytest.approx(rollout.null.value)
    each = np.tril(np.ones((40, 40))) / np.arange(1, 41)[:, None]
    mixed = (each + np.eye(40)) / 2
    away = np.subtract.outer(np.arange(40), np.arange(40))
    assert rollout.value == pytest.approx((mixed @ mixed * away).sum(1).mean())


@pytest.mark.usefixtures("double")
def test_heads_fade_by_their_own_slopes(show):
    """Each head by the sum over its queries, worked out one by one."""
    slopes = (1.0, 0.3)
    measured = show(fading_attention(slopes), Attention(), time=TIME)
    for head, slope in enumerate(slopes):
        distances, ratios, firsts = [], [], []
        for t in range(TIME):
            p = np.exp(-slope * np.arange(t + 1))
            p /= p.sum()
            distances.append((p * np.arange(t + 1)).sum())
            firsts.append(p[-1])
            ratios += [-(p * np.log(p)).sum() / math.log(t + 1)] if t else []
        row = {"mean_distance": distances, "first": firsts, "entropy_ratio": ratios}
        for name, rows in row.items():
            assert column(measured, "attention-heads", name)[head] == pytest.approx(np.mean(rows))
    r = math.exp(-0.3)
    assert column(measured, "attention-heads", "mean_distance")[1] == pytest.approx(
        r / (1 - r), rel=0.05
    )


def test_the_circuit_set_by_hand_is_found(show):
    """A period of p different tokens: 1 - 1 / 2p, with p between 32 and 64."""
    measured = show(induction_circuit(symbols=128, context=TIME), Attention(), time=TIME)
    induction = measured.metrics["induction_score"]
    assert 1 - 1 / 64 < induction.value < 1 - 1 / 128
    assert induction.null.high < 0.02
    assert value(measured, "previous_token_score") > 0.999
    heads = table(measured, "attention-heads")
    assert heads.column("induction")[0] < 0.02
    assert heads.column("previous_token")[1] < 0.05
    assert "the best induction score is 0.99 (layer 1, head 0)" in measured.headline


def test_the_induction_score_is_that_of_the_periods_drawn(observe):
    probe, model = Attention(), induction_circuit(symbols=128, context=TIME)
    evidence = probe.observe(observe(model, probe, range(12), TIME))
    periods = 0.5 / (1 - evidence["induction"][:, 1])
    assert periods == pytest.approx(periods.round(), abs=1e-3)
    assert len({*periods.round()}) > 5
    assert periods.round().min() >= 32
    assert periods.round().max() <= 64


def test_a_head_that_looks_a_fixed_way_back_is_no_induction_head(show):
    """Periods vary: a head at one of them is right in a few sequences only."""

    class FixedLag(nn.Module):
        def forward(self, x):
            steps = torch.arange(x.shape[1])
            scores = -100.0 * (steps[:, None] - steps - 39).abs().double()
            weights = scores.masked_fill(steps > steps[:, None], -math.inf).softmax(-1)
            return weights.to(x).expand(len(x), -1, -1) @ x

    stack = zoo.Stack(nn.Embedding(8, 8), FixedLag(), nn.Linear(8, 8))
    measured = show(SequenceModel(stack), Attention(), time=TIME)
    assert value(measured, "induction_score") < 0.3


def test_sinks(show):
    """All weight on the first token, whose value is short: a sink that moves little."""

    class ToFirst(nn.Module):
        def forward(self, x):
            scores = torch.zeros(x.shape[1], x.shape[1])
            scores[:, 0] = 5.0
            weights = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)
            value = torch.cat([1e-4 * x[:, :1], x[:, 1:]], dim=1)
            return weights.softmax(-1).expand(len(x), -1, -1) @ value

    stack = zoo.Stack(nn.Embedding(8, 8), ToFirst(), nn.Linear(8, 8))
    measured = show(SequenceModel(stack), Attention(), time=TIME)
    assert value(measured, "sink_rate") == 1
    assert value(measured, "sink_rate_norm_weighted") == 0
    assert measured.metrics["sink_rate"].null.value == 0
    truth = np.mean([math.exp(5) / (math.exp(5) + t) for t in range(TIME)])
    assert column(measured, "attention-heads", "first") == pytest.approx([truth], rel=1e-5)
    assert "100% of heads are sinks" in measured.headline


def test_short_sequences_make_sinks_of_equal_weights(show):
    measured = show(zoo.uniform_attention(symbols=5), Attention(), time=4)
    assert value(measured, "sink_rate") == measured.metrics["sink_rate"].null.value == 1
    assert "sequences are too short" in measured.metrics["induction_score"].reason


def test_a_window_has_nothing_beyond_it(show):
    measured = show(zoo.window_attention(4, layers=2), Attention(), time=TIME)
    distance, share = (column(measured, "attention", name) for name in ("distance", "share"))
    assert distance.tolist() == 2 * [0, 1, 2, 4, 8, 16, 32, 64]
    assert (share[distance >= 4] == 0).all()
    assert (share[distance < 4] > 0.2).all()
    assert share.reshape(2, -1).sum(1) == pytest.approx([1, 1])


def test_nothing_is_found_where_there_is_no_attention(show):
    for model in (zoo.memoryless(), SequenceModel(build("lstm", width=8, layers=1))):
        with pytest.raises(NotApplicable, match="no attention was found: no call of it, and no"):
            show(model, Attention())


def test_refused_weights_are_named(show):
    class Differential(nn.Module):
        def forward(self, x):
            scores = x @ x.transpose(1, 2)
            return (scores.softmax(-1) - scores.cos().softmax(-1)) @ x

    alone = zoo.Stack(nn.Embedding(8, 8), Differential(), nn.Linear(8, 8))
    told = r"cannot be told \(memory: some of its weights are below zero or not finite\)"
    with pytest.raises(NotApplicable, match=told):
        show(SequenceModel(alone), Attention())
    both = nn.Sequential(Differential(), zoo.uniform_attention().module.memory)
    measured = show(
        SequenceModel(zoo.Stack(nn.Embedding(8, 8), both, nn.Linear(8, 8))), Attention()
    )
    assert measured.warnings[0].startswith("memory.0: some of its weights are below zero")
    assert value(measured, "mean_entropy_ratio") == pytest.approx(1, abs=1e-4)


def test_other_sequences_may_be_attended_to_by_other_modules(show):
    """Shorter than so many steps it averages by a call of its own; heads cannot be told apart."""

    class Either(nn.Module):
        def __init__(self):
            super().__init__()
            self.long = zoo.uniform_attention().module.memory
            self.short = zoo.uniform_attention(layers=2).module.memory

        def forward(self, x):
            return self.long(x) if x.shape[1] > 60 else self.short(x)

    stack = zoo.Stack(nn.Embedding(8, 8), Either(), nn.Linear(8, 8))
    measured = show(SequenceModel(stack), Attention(), time=110)
    assert value(measured, "mean_entropy_ratio") == pytest.approx(1, abs=1e-4)
    assert [table.id for table in measured.series] == ["attention", "attention-heads"]
    assert value(measured, "induction_score") is not None
    only_long = show(SequenceModel(stack), Attention(), time=61)
    assert "read in another way" in only_long.metrics["induction_score"].reason


def test_rows_that_do_not_sum_to_one_are_named(show):
    class Halved(nn.Module):
        def forward(self, x):
            return (x @ x.transpose(1, 2)).softmax(-1) / 2 @ x

    stack = zoo.Stack(nn.Embedding(8, 8), Halved(), nn.Linear(8, 8))
    measured = show(SequenceModel(stack), Attention())
    assert value(measured, "row_sum_error") == pytest.approx(0.5)
    assert "weights of memory do not sum to one (off by up to 0.5)" in measured.warnings[0]


def test_real_valued_and_bidirectional_models(show):
    class Mean(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(0 * x, 0 * x, x)

    stack = zoo.Stack(nn.Identity(), Mean(), nn.Linear(4, 4))
    measured = show(SequenceModel(stack, features=4), Attention(), time=50)
    assert value(measured, "mean_entropy_ratio") == pytest.approx(1)
    distance = (50**2 - 1) / (3 * 50)
    assert value(measured, "mean_distance") == pytest.approx(distance)
    assert measured.metrics["mean_distance"].null.value == pytest.approx(distance)
    assert value(measured, "induction_score") == pytest.approx(1 / 50)
    assert {*table(measured, "attention-map").column("token")} == {""}


def test_the_batch_size_changes_nothing(observe):
    model = SequenceModel(build("attention", vocab_size=32, width=16, layers=2, context=96))
    probe = Attention()
    together = probe.update(observe(model, probe, range(9), 80)).compute()
    for some in (range(4), range(4, 9)):
        probe = probe.update(observe(model, probe, some, 80))
    apart = probe.compute()
    for name, estimate in together.metrics.items():
        other = apart.metrics[name]
        for bound in ("value", "low", "high"):
            assert getattr(estimate, bound) == pytest.approx(getattr(other, bound), abs=1e-6)


def test_some_queries_tell_nearly_the_same(observe):
    model = SequenceModel(build("attention", vocab_size=32, width=16, layers=2, context=256))
    probes = Attention(), Attention(queries=32)
    exact, some = (p.update(observe(model, p, range(8), 200)).compute() for p in probes)
    for name in ("mean_entropy_ratio", "mean_distance"):
        assert value(some, name) == pytest.approx(value(exact, name), rel=0.05)


def test_maps_are_those_of_the_heads_that_stand_out(show):
    measured = show(induction_circuit(symbols=128, context=TIME), Attention(), time=TIME)
    rows = table(measured, "attention-map")
    assert {*zip(rows.column("role"), rows.column("layer"), strict=True)} == {
        ("most induction", 1),
        ("most previous token", 0),
    }
    steps = len(rows.rows) // 2
    weights = np.array([rows.column(f"to_{key}") for key in range(steps)], dtype=float).T
    previous = weights[:steps]
    assert np.diagonal(previous, -1) == pytest.approx(1)


def test_tables_of_large_models_stay_short(show):
    class Many(nn.Module):
        def forward(self, x):
            many = x[:, None].expand(-1, 32, -1, -1)
            mixed = nn.functional.scaled_dot_product_attention(0 * many, many, many, is_causal=True)
            return x + mixed.mean(1)

    stack = zoo.Stack(
        nn.Embedding(8, 8), nn.Sequential(*(Many() for _ in range(24))), nn.Linear(8, 8)
    )
    measured = show(SequenceModel(stack), Attention(), time=64)
    assert measured.headline.startswith("768 heads in 24 layers")
    assert all(len(table.rows) <= 130 for table in measured.series)
