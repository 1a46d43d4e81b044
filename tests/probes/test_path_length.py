"""Hops against closed forms, and reach against what was built in."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.path_length import PathLength, by_distance
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build


def hops(measurement):
    return np.array(measurement.series[0].column("hops"), dtype=float)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_a_recurrence_takes_a_hop_per_step(show, kind):
    model = SequenceModel(build(kind, vocab_size=8, width=8, layers=2))
    measured = show(model, PathLength(20), time=64)
    assert measured.metrics["at_distance"].value == 20
    assert measured.metrics["exponent"].value == pytest.approx(1.0)


def test_attention_takes_one_hop(show):
    model = SequenceModel(build("attention", vocab_size=8, width=8, layers=2))
    measured = show(model, PathLength(20))
    assert hops(measured)[0] == 0
    assert (hops(measured)[1:120] == 1).all()
    assert measured.metrics["exponent"].value == 0


@pytest.mark.parametrize(("window", "layers"), [(5, 1), (5, 3), (9, 2)])
def test_window_attention_reaches_layers_times_window(show, window, layers):
    measured = show(zoo.window_attention(window, layers), PathLength(20))
    field = layers * (window - 1)
    distance = np.arange(1, field + 1)
    assert (hops(measured)[1 : field + 1] == np.ceil(distance / (window - 1))).all()
    assert np.isnan(hops(measured)[field + 1 :]).all()
    assert measured.metrics["reach"].value == field


class Convolutions(nn.Module):
    """A causal stack with a residual connection around every layer."""

    def __init__(self, dilations, width=8, kernel=3):
        super().__init__()
        self.embedding = nn.Embedding(8, width)
        self.layers = nn.ModuleList(Causal(width, kernel, dilation) for dilation in dilations)
        self.head = nn.Linear(width, 8)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x)


class Causal(nn.Module):
    def __init__(self, width, kernel, dilation):
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.left = (kernel - 1) * dilation

    def forward(self, x):
        return self.conv(F.pad(x.transpose(1, 2), (self.left, 0))).transpose(1, 2)


def test_a_convolution_stack_takes_a_hop_per_kernel(show):
    measured = show(SequenceModel(Convolutions([1, 1, 1, 1])), PathLength(20))
    assert hops(measured)[:9].tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert np.isnan(hops(measured)[9:]).all()
    assert measured.metrics["reach"].value == 8


def test_dilation_doubles_the_field_with_every_layer(show):
    measured = show(SequenceModel(Convolutions([1, 2, 4])), PathLength(12))
    assert measured.metrics["reach"].value == 2 * (1 + 2 + 4)
    assert hops(measured)[14] == 3
    assert np.isnan(hops(measured)[15:]).all()


def test_both_directions_of_a_bidirectional_recurrence_count(show):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(8, 8)
            self.rnn = nn.GRU(8, 8, batch_first=True, bidirectional=True)
            self.head = nn.Linear(16, 8)

        def forward(self, tokens):
            return self.head(self.rnn(self.embedding(tokens))[0])

    model = SequenceModel(Both())
    assert not model.causal
    (mixer,) = model.mixers(32)
    assert mixer.support.all()
    assert show(model, PathLength(20), time=64).metrics["at_distance"].value == 20


def test_lag_oracle_is_reached_from_its_lag_alone(show):
    measured = show(zoo.lag_oracle(7), PathLength(20))
    reached = np.array(measured.series[0].column("reached"))
    assert np.flatnonzero(reached).tolist() == [7]
    assert np.flatnonzero(np.isfinite(hops(measured))).tolist() == [7]
    assert hops(measured)[7] == 1


def test_memoryless_has_no_path_and_no_reach(show):
    measured = show(zoo.memoryless(), PathLength(20))
    assert measured.metrics["at_distance"].reason == "there is no path over 20 steps"
    assert measured.metrics["reach"].value == 0


class Skip(nn.Module):
    """A skip over 30 steps in the model's own code, beside a window of 3."""

    def __init__(self, ahead=0):
        super().__init__()
        self.inner = zoo.window_attention(3).module
        self.ahead = ahead

    def forward(self, tokens):
        logits = self.inner(tokens)
        skipped = logits + F.pad(logits, (0, 0, 30, 0))[:, :-30]
        return skipped + F.pad(skipped, (0, 0, 0, self.ahead))[:, self.ahead :]


def test_paths_through_the_models_own_code_count(show):
    measured = show(SequenceModel(Skip()), PathLength(20))
    assert measured.metrics["reach"].value == 32
    assert hops(measured)[[2, 30, 32]].tolist() == [1, 1, 2]
    assert np.isnan(hops(measured)[3:30]).all()
    assert not measured.warnings


def test_in_a_model_that_looks_ahead_mixing_outside_the_recognised_modules_is_noticed(show):
    measured = show(SequenceModel(Skip(ahead=1)), PathLength(20))
    reason = "how the model's own code mixes positions is unknown"
    assert measured.metrics["at_distance"].reason == reason


def test_operators_are_counted_beside_hops(show):
    """A step of the cell state is a product and a sum."""
    model = SequenceModel(build("lstm", vocab_size=8, width=8, layers=1))
    measured = show(model, PathLength(30), time=64)
    counted = np.array(measured.series[0].column("operators"), dtype=float)
    assert (np.diff(counted[10:56]) == 2).all()
    assert measured.metrics["operators_at_distance"].value == counted[30]


class Doubtful(nn.Module):
    """Sums by an operator without a rule, and by a number that Python reads."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(8, 4)

    def forward(self, tokens):
        x = self.embedding(tokens)
        if self.read:
            return x * float(x[0, 0, 0])
        time = torch.zeros(tokens.shape[1], dtype=torch.long)
        return x + torch.zeros(len(x), 1, 4).index_add(1, time, x)


def test_what_makes_paths_less_than_exact_is_said(show):
    said = []
    for Doubtful.read in (False, True):
        measured = show(SequenceModel(Doubtful()), PathLength(20), sequences=1, time=32)
        said += measured.warnings
    assert said[0] == "index_add taken to read everything: paths may be longer than stated"
    assert said[1].startswith("the code reads single numbers (.item())")


def test_of_several_sources_the_longest_of_the_shortest_paths_counts():
    nowhere = np.inf
    paths = np.array([[0, nowhere], [5, 0], [2, 9], [nowhere, nowhere]])
    assert by_distance(paths, np.array([0, 1])).tolist() == [0, 9, 2, nowhere]


def test_all_sources_on_request_give_the_same_as_some(show):
    model = SequenceModel(build("gru", vocab_size=8, width=8, layers=2))
    some, every = (show(model, PathLength(20, exact=exact), time=40) for exact in (False, True))
    assert some.series == every.series


def test_a_vanishing_weight_is_still_a_path(show):
    """Attention so sharp that far keys do not move the last bit is one hop away all the same."""
    model = SequenceModel(build("attention", vocab_size=8, width=8, layers=1))
    with torch.no_grad():
        model.module.blocks[0].attention.query_key_value.weight[:16] *= 12
    assert (hops(show(model, PathLength(20), time=64))[1:50] == 1).all()
