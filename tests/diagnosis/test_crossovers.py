"""Where the costs of two models cross, against closed forms."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import seqprobe
from seqprobe.contracts import Column, Series
from seqprobe.diagnosis.crossovers import crossovers
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import layers
from seqprobe_cli import comparing


class RowByRow(nn.Module):
    """Causal attention that looks at nothing ahead and computes nothing of it."""

    def __init__(self, width):
        super().__init__()
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x):
        q, k, v = self.query_key_value(x).chunk(3, -1)
        rows = [
            (q[:, t : t + 1] @ k[:, : t + 1].mT).softmax(-1) @ v[:, : t + 1]
            for t in range(x.shape[1])
        ]
        return self.output(torch.cat(rows, 1))


def compared(*models, probes=("sequential-depth",), length=256):
    return seqprobe.compare(*models, probes=probes, length=length, limit=1)


def named(comparison, cost):
    (found,) = [each for each in comparison.crossovers if each.cost == cost]
    return found


@pytest.mark.parametrize("d", [32, 48])
def test_an_lstm_works_less_than_dense_attention_beyond_twice_the_width(d):
    lstm = SequenceModel(nn.LSTM(d, d, batch_first=True), features=d)
    found = named(compared(layers.attention(d, 4, fused=True), lstm, length=128), "FLOPs")
    assert found.length.value == pytest.approx(2 * d, rel=0.02)
    assert found.length.exact
    assert (found.before, found.after) == ("Attention", "LSTM")


def test_and_beyond_four_times_the_width_where_causal_attention_skips_what_is_ahead():
    d = 16
    lstm = SequenceModel(nn.LSTM(d, d, batch_first=True), features=d)
    causal = SequenceModel(RowByRow(d), features=d)
    found = named(compared(lstm, causal, length=128), "FLOPs")
    assert found.length.value == pytest.approx(4 * d - 1, rel=0.02)
    assert (found.before, found.after) == ("RowByRow", "LSTM")


def test_no_crossover_says_who_is_cheaper_and_by_how_much():
    small, large = (SequenceModel(nn.GRU(8, w, batch_first=True), features=8) for w in (8, 16))
    comparison = compared(small, large, length=64)
    found = named(comparison, "longest chain of operators")
    assert found.length.reason == "no crossover between 4 and 64 tokens: both cost the same"
    assert (found.before, found.after) == ("", "")
    found = named(comparison, "FLOPs")
    times = 16 * (8 + 16) / (8 * (8 + 8))
    assert found.length.reason.endswith(f"GRU (1) is cheaper, {times:.3g} times at 64")


def timed(report, seconds, spread):
    """The report with timings of our own at 16 .. 256 tokens."""
    lengths = [16, 32, 64, 128, 256]
    rows = [
        (n, *[seconds(n) * f for _ in range(3) for f in (1, 1 - spread, 1 + spread)])
        for n in lengths
    ]
    names = [
        f"{way}_{part}" for way in ("forward", "training", "decoding")
        for part in ("seconds", "low", "high")
    ]  # fmt: skip
    table = Series("throughput", tuple(map(Column, ["length", *names])), tuple(rows), len(rows))
    return replace(report, tables=(table,))


@pytest.fixture
def reports():
    gru = SequenceModel(nn.GRU(8, 8, batch_first=True), features=8)
    (report,) = compared(gru, length=32).reports
    return [replace(report, model=replace(report.model, name=name)) for name in ("a", "b")]


def test_a_timed_crossover_has_the_interval_of_the_timings(reports):
    linear = timed(reports[0], lambda n: 1e-4 * n, 0.1)
    square = timed(reports[1], lambda n: 1e-6 * n * n, 0.1)
    found = crossovers([linear, square])[0]
    assert found.cost == "seconds, forward"
    assert found.length.value == pytest.approx(100, rel=1e-6)
    assert found.length.low == pytest.approx(100 * 0.9 / 1.1, rel=1e-6)
    assert found.length.high == pytest.approx(100 * 1.1 / 0.9, rel=1e-6)
    assert (found.before, found.after) == ("b", "a")


def test_of_two_crossings_the_first_is_named(reports):
    constant = timed(reports[0], lambda n: 2e-3 + 1e-6 * n * n, 0.01)
    linear = timed(reports[1], lambda n: 1e-4 * n, 0.01)
    found = crossovers([constant, linear])[0]
    assert found.length.value == pytest.approx(50 - (50**2 - 2000) ** 0.5, rel=1e-4)
    assert (found.before, found.after) == ("b", "a")


def test_an_interval_that_leaves_the_measured_range_is_said_to(reports):
    linear = timed(reports[0], lambda n: 2.4e-4 * n, 0.2)
    square = timed(reports[1], lambda n: 1e-6 * n * n, 0.2)
    found = crossovers([linear, square])[0]
    assert found.length.value == pytest.approx(240, rel=1e-6)
    assert found.length.low is None
    assert "may as well not cross" in found.length.reason


def test_they_stand_in_the_json_and_are_read_again(tmp_path, reports):
    d = 16
    lstm = SequenceModel(nn.LSTM(d, d, batch_first=True), features=d)
    comparison = compared(layers.attention(d, 4, fused=True), lstm, length=64)
    path = comparison.save(tmp_path / "both.json")
    assert seqprobe.report.load_reports(path).crossovers == comparison.crossovers


def test_the_terminal_names_those_that_were_found(capsys):
    d = 16
    lstm = SequenceModel(nn.LSTM(d, d, batch_first=True), features=d)
    comparing.show(compared(layers.attention(d, 4, fused=True), lstm, length=64))
    said = capsys.readouterr().out.splitlines()
    assert "FLOPs: from 32 tokens on LSTM is cheaper than Attention" in said
    assert "longest chain" not in "".join(said)
