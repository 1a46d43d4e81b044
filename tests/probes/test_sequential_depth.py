"""Depth and work against hand counts."""

import pytest
from torch import nn

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.sequential_depth import SequentialDepth
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build


def series(measured, name):
    return list(measured.series[0].column(name))


def test_an_lstm_waits_seven_operators_per_step(show):
    """Product, sum, sigmoid, times, plus, tanh, times: and again."""
    model = SequenceModel(build("lstm", vocab_size=8, width=8, layers=1))
    measured = show(model, SequentialDepth(), sequences=1)
    length, depth = series(measured, "length"), series(measured, "depth")
    assert length == [8, 16, 32, 64, 128]
    assert [d - 7 * n for n, d in zip(length, depth, strict=True)] == [depth[0] - 56] * 5
    assert measured.metrics["exponent"].value == pytest.approx(1, abs=0.05)


def test_attention_waits_for_nothing_that_grows(show):
    model = SequenceModel(build("attention", vocab_size=8, width=8, layers=2))
    measured = show(model, SequentialDepth(), sequences=1)
    assert measured.metrics["exponent"].value == 0
    assert len(set(series(measured, "depth"))) == 1
    assert measured.headline.endswith("whatever the length.")


def test_work_is_counted_also_where_a_fused_kernel_hides_it(show):
    d = 16
    model = SequenceModel(nn.LSTM(d, d, batch_first=True), features=d)
    measured = show(model, SequentialDepth(), sequences=1)
    assert measured.metrics["flops"].value == 16 * 128 * d * d
    assert measured.metrics["flops_exponent"].value == pytest.approx(1)
    depth = measured.metrics["depth"].value
    assert measured.metrics["parallelism"].value == 16 * 128 * d * d / depth


def test_attention_works_by_the_square(show):
    d, n = 32, 128
    measured = show(_attention(d), SequentialDepth(), sequences=1)
    assert measured.metrics["flops"].value == n * (8 * d * d + 4 * n * d)
    assert 1 < measured.metrics["flops_exponent"].value < 2


def _attention(d):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(d, 4, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0]

    return SequenceModel(Own(), features=d)


def test_a_model_without_any_past_has_the_same_depth_everywhere(show):
    measured = show(zoo.memoryless(), SequentialDepth(), sequences=1)
    assert measured.metrics["exponent"].value in (0, None)


def test_too_few_lengths_give_no_exponent(show):
    model = SequenceModel(build("rnn", vocab_size=8, width=8, layers=1))
    measured = show(model, SequentialDepth(), sequences=1, time=2)
    assert measured.metrics["exponent"].reason == "2 lengths are too few"


def test_only_the_first_sequence_is_followed(observe):
    model = SequenceModel(build("rnn", vocab_size=8, width=8, layers=1))
    probe = SequentialDepth()
    later = probe.update(observe(model, probe, range(4, 8), 32))
    first = later.update(observe(model, probe, range(4), 32))
    assert first.compute().metrics["depth"].value > 0
    assert set(later.evidence[0]) == {"sequence"}
