"""Heads in a loop's own passes, against closed forms and the same in an analysis."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqprobe.errors import NotApplicable
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.attention import Attention
from seqprobe.probes.heads import UNCHECKED, UNLIKE, Heads
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

TIME = 64
QUERIES = np.arange(1, TIME, 2)


@pytest.fixture
def measured(show_training):
    return lambda model, *batches: show_training(model, Heads(), *batches)


def tokens(batch=8, time=TIME):
    return torch.randint(8, (batch, time))


@pytest.mark.usefixtures("double")
def test_equal_weights_are_their_own_null(measured):
    found = measured(zoo.uniform_attention(layers=2), tokens()).metrics
    for name in ("mean_entropy_ratio", "lowest_entropy_ratio", "mean_distance"):
        assert found[name].value == pytest.approx(found[name].null.value)
        assert found[name].n == 8
        assert found[name].low == pytest.approx(found[name].high)
    assert found["mean_entropy_ratio"].value == pytest.approx(1)
    assert found["mean_distance"].value == pytest.approx(QUERIES.mean() / 2)
    assert found["sink_rate"].value == found["sink_rate"].null.value == 0


@pytest.mark.usefixtures("double")
def test_a_window_sees_so_far(measured):
    window = 8
    found = measured(zoo.window_attention(window), tokens()).metrics
    seen = np.minimum(QUERIES + 1, window)
    assert found["mean_distance"].value == pytest.approx((seen - 1).mean() / 2)
    ratio = np.mean([math.log(w) / math.log(t + 1) for w, t in zip(seen, QUERIES, strict=True)])
    assert found["mean_entropy_ratio"].value == pytest.approx(ratio)


def test_the_same_as_in_an_analysis(measured, show):
    """All steps are read there, half of them here: means differ by a step at most."""
    model = SequenceModel(build("attention", vocab_size=8, width=16, layers=2, context=TIME + 5))
    loop, whole = measured(model, tokens(32)), show(model, Attention(), sequences=32, time=TIME)
    for name, close in (("mean_entropy_ratio", 0.01), ("mean_distance", 1.0)):
        assert loop.metrics[name].value == pytest.approx(whole.metrics[name].value, abs=close)
    (table,) = loop.series
    assert [column.name for column in table.columns][:3] == ["layer", "head", "site"]
    assert table.column("layer") == [0] * 4 + [1] * 4
    assert table.column("head") == [*range(4), *range(4)]
    assert table.column("site")[4] == "blocks.1.attention"
    lowest = loop.metrics["lowest_entropy_ratio"].value
    assert lowest == pytest.approx(min(table.column("entropy_ratio")))
    assert "8 heads in 2 layers" in loop.headline


def test_forwards_may_be_of_different_lengths(measured):
    """The null is that of the lengths that were seen."""
    found = measured(zoo.uniform_attention(), tokens(5, 40), tokens(5, 20), tokens(5, 9))
    away = found.metrics["mean_distance"]
    assert away.n == 15
    assert away.value == pytest.approx(away.null.value, rel=1e-5)


def test_weights_before_dropout_are_said_to_be_unchecked(measured):
    layer = torch.nn.TransformerEncoderLayer(16, 4, 32, dropout=0.2, batch_first=True)
    module = torch.nn.Sequential(torch.nn.Embedding(8, 16), layer, torch.nn.Linear(16, 8))
    found = measured(SequenceModel(module), tokens())
    assert found.warnings == (UNCHECKED,)
    assert 0.9 < found.metrics["mean_entropy_ratio"].value <= 1
    assert found.metrics["mean_distance"].null.value == pytest.approx(TIME / 3, rel=0.05)


def test_forwards_with_other_heads_are_left_out(train):
    one, two = zoo.uniform_attention(), zoo.uniform_attention(layers=2)
    probe = Heads()
    refused = {"refused": np.full(8, "memory.0: no")}
    for number, model in enumerate((None, one, two, one)):
        (seen,) = train(model or one, probe, tokens())
        seen = replace(seen, sequences=range(8 * number, 8 * number + 8))
        probe = probe.update(seen if model else replace(seen, heads=refused))
    found = probe.compute()
    assert found.metrics["mean_entropy_ratio"].n == 16
    assert found.warnings == ("memory.0: no", UNLIKE)


def test_what_is_refused_is_not_estimable(train):
    probe = Heads()
    (seen,) = train(zoo.uniform_attention(), probe, tokens())
    found = probe.update(replace(seen, heads={"refused": np.full(8, "block: no")})).compute()
    because = "the weights of attention cannot be told (block: no)"
    assert {estimate.reason for estimate in found.metrics.values()} == {because}
    assert found.headline == f"Not measured: {because}."


def test_without_attention_there_is_nothing(measured, train):
    with pytest.raises(NotApplicable, match="no attention was found"):
        measured(zoo.memoryless(), tokens())
    (seen,) = train(zoo.memoryless(), Heads(), tokens())
    with pytest.raises(NotApplicable, match="it is compiled"):
        Heads().update(replace(seen, unseen={"heads": "it is compiled"}))
