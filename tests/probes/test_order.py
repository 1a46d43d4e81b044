"""Use of order, against models to which it means nothing, and a naive twin."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqprobe.errors import NotApplicable
from seqprobe.estimators.effects import surprisal_bits
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.order import EDITS, Order
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

HIGH, LOW = 0.9125, 0.0125  # of eight symbols, with one tenth of noise
WORTH = 3 + HIGH * math.log2(HIGH) + 7 * LOW * math.log2(LOW)


def column(measured, name):
    return np.array(measured.series[0].column(name), dtype=float)


def measure(observe, model, probe, *, sequences=32, time=128, written=True):
    observation = observe(model, probe, range(sequences), time, written=written)
    return probe.update(observation).compute()


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("model", [zoo.uniform_attention, zoo.content_attention])
def test_to_a_set_of_tokens_order_means_nothing(observe, model):
    """The mean of all embeddings, and one layer of attention without positions."""
    measured = measure(observe, model(), Order(8))
    assert column(measured, "shuffle_bits") == pytest.approx(0, abs=1e-12)
    assert column(measured, "within_bits") == pytest.approx(0, abs=1e-12)
    assert column(measured, "drop_bits").max() > 0.05
    assert np.abs(column(measured, "replace_bits")).max() > 1e-3
    assert measured.metrics["span"].value == 1


@pytest.mark.usefixtures("double")
def test_two_layers_without_positions_know_some_order(observe):
    measured = measure(observe, zoo.content_attention(2), Order(8))
    assert np.abs(column(measured, "shuffle_bits")).max() > 1e-3
    assert np.abs(column(measured, "within_bits")).max() > 1e-5


@pytest.mark.usefixtures("double")
def test_a_bag_of_words_is_found_out(observe):
    measured = measure(observe, zoo.content_attention(), Order(8), sequences=64)
    unused, span = (measured.metrics[name] for name in ("order_unused_beyond", "span"))
    assert unused == span
    assert measured.metrics["shuffle_excess"].high < 0


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("lag", [3, 7, 19])
def test_one_token_that_matters(observe, lag):
    """Dropping it costs what it is worth; another in its place misleads, and costs more."""
    measured = measure(observe, zoo.lag_oracle(lag), Order(lag + 1), sequences=64)
    assert measured.metrics["span"].value == lag + 1
    distances = column(measured, "distance")
    assert (column(measured, "shuffle_bits")[distances > lag] == 0).all()
    assert (column(measured, "drop_bits")[distances > lag] == 0).all()
    assert (column(measured, "within_bits")[distances <= lag] == 0).all()
    assert (column(measured, "within_bits")[distances > lag + 1] > 1).all()
    nearer = distances <= lag
    assert column(measured, "drop_bits")[nearer] == pytest.approx(WORTH, abs=0.5)
    misled = 7 / 8 * (HIGH - LOW) * math.log2(HIGH / LOW)
    assert column(measured, "replace_bits")[nearer] == pytest.approx(misled, abs=0.8)
    assert measured.metrics["shuffle_excess"].low > 0
    assert "disturbs, and says nothing about order" in measured.headline
    assert measured.metrics["order_unused_beyond"].reason == (
        f"what lies beyond {lag + 1} tokens is worth 0 bits, and shuffling it does not cost "
        "clearly less than 10% of that"
    )


@pytest.mark.parametrize(
    ("shuffled", "dropped", "unused"),
    [
        (0.01, 0.2, 4),
        (0.01, 0.12, None),
        (0.01, 0.05, None),
        (0.0, 0.0, None),
        (0.01, -1.0, None),
        (-0.5, 0.2, None),
        (-1.0, -1.0, None),
    ],
)
def test_order_is_unused_only_where_tokens_are_used(shuffled, dropped, unused):
    """Shuffling costs little beyond four tokens: it depends on what dropping costs."""
    noise = np.random.default_rng(0).normal(0, 0.01, (32, 1))
    shuffle = np.tile([2.0, 1.0, shuffled, shuffled], (32, 1)) + noise - noise.mean()
    evidence = {
        "distance": np.tile([1, 2, 4, 8], (32, 1)),
        "null": np.zeros(32),
        **dict.fromkeys(EDITS, shuffle),
        "drop": np.tile([3.0, 2.0, dropped, dropped], (32, 1)),
    }
    measured = Order(8).measure(evidence)
    assert measured.metrics["span"].value == 4
    assert measured.metrics["order_unused_beyond"].value == unused


def test_memoryless_has_nothing_to_lose(show):
    measured = show(zoo.memoryless(), Order(20))
    assert all((column(measured, f"{edit}_bits") == 0).all() for edit in EDITS)
    assert measured.metrics["span"].value == 1
    assert measured.metrics["span"].null.value == 1
    assert measured.metrics["order_unused_beyond"].value is None
    assert measured.metrics["shuffle_excess"].low == 0


@pytest.mark.usefixtures("double")
def test_equals_a_naive_twin(observe):
    """One edit and one target at a time."""
    model = SequenceModel(build("gru", vocab_size=5, width=6, layers=1).double())
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.mul_(3)
    probe = Order(6)
    observation = observe(model, probe, range(4), 32)
    evidence = probe.update(observation).rows()
    assert evidence["distance"][0].tolist() == [1, 2, 4, 6, 8]
    bins = [range(1, 2), range(2, 4), range(4, 6), range(6, 8), range(8, 16)]
    for sequence, tokens in enumerate(observation.inputs):
        draw = probe.random(sequence)
        places = draw.integers(8, 17, 2).tolist()
        pasts = {place: tokens[:place].numpy() for place in places}
        shuffled = [torch.from_numpy(draw.permutation(past)) for past in pasts.values()]
        redrawn = [torch.from_numpy(draw.choice(5, len(p), p=[0.2] * 5)) for p in pasts.values()]
        edits = {"shuffle": shuffled, "replace": redrawn, "drop": [tokens[:0], tokens[:0]]}
        for kind, edited in edits.items():
            truth = [
                np.mean([change(model, tokens, place, past, d) for d in distances
                         for place, past in zip(places, edited, strict=True)])
                for distances in bins
            ]  # fmt: skip
            assert evidence[kind][sequence] == pytest.approx(truth, abs=1e-12)
        start = places[0]
        for index, d in enumerate((1, 2, 4, 6, 8)):
            near = torch.from_numpy(draw.permutation(tokens[start : start + d - 1].numpy()))
            past = torch.cat([tokens[:start], near])
            truth = change(model, tokens, start + d - 1, past, 1)
            assert evidence["within"][sequence, index] == pytest.approx(truth, abs=1e-12)


def change(model, tokens, place, past, distance):
    """Of the loss after `distance` tokens from the place on, with another past before it."""
    rest, target = tokens[place : place + distance], tokens[place + distance]
    edited, plain = (model(torch.cat([p, rest])[None])[0, -1] for p in (past, tokens[:place]))
    return (surprisal_bits(edited, target) - surprisal_bits(plain, target)).item()


def test_results_do_not_depend_on_the_batches(observe):
    probe, model = Order(5), zoo.lag_oracle(5)
    whole = probe.update(observe(model, probe, range(12), 64)).compute()
    parts = probe.update(observe(model, probe, range(5, 12), 64))
    assert parts.update(observe(model, probe, range(5), 64)).compute() == whole


def test_a_span_that_never_ends(observe):
    span = measure(observe, zoo.lag_oracle(40), Order(20), time=64).metrics["span"]
    assert span.value is None
    assert span.reason == "shuffling still costs 1% of perplexity beyond 20 tokens"


def test_a_loss_without_bounds_is_said_to_be_unknown(observe):
    measured = measure(observe, zoo.lag_oracle(7, epsilon=0.0), Order(8), time=64)
    assert measured.metrics["shuffle_all"].reason == "the value is not finite"
    assert measured.headline == "Shuffling costs less than 1% of perplexity beyond 8 tokens."


def test_what_it_cannot_be_asked_of(observe):
    observation = observe(zoo.memoryless(), Order(5), range(8), 64)
    with pytest.raises(NotApplicable, match="looks ahead: a prediction without its past"):
        Order(5).update(replace(observation, causal=False))
    other = replace(observation, outputs=observation.outputs[..., :3])
    with pytest.raises(NotApplicable, match="the model gives 3 outputs for 8 tokens"):
        Order(5).update(other)
