"""What the weights alone say, against closed forms."""

import math

import pytest
import torch
from torch import nn

from seqprobe.errors import NotApplicable
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.weights import Weights
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build
from seqprobe.reference.zoo import Stack


def test_the_forget_bias_of_a_constant_gate(show):
    measured = show(zoo.constant_gate_lstm(2.0), Weights(), sequences=1)
    assert measured.metrics["forget_bias"].value == 2
    assert measured.metrics["spectral_radius"].value == 0
    steps = 1 / math.log1p(math.exp(-2))
    assert measured.headline.endswith(
        f"mean forget bias 2.00: by itself {steps:.1f} steps of memory."
    )


def test_both_bias_vectors_count(show):
    """PyTorch adds two of them; a public package fills both and doubles what it meant."""
    model = zoo.constant_gate_lstm(2.0)
    model.module.memory.bias_hh_l0.data[4:8] = 1.5
    measured = show(model, Weights(), sequences=1)
    assert measured.metrics["forget_bias"].value == 3.5


def test_a_gru_keeps_by_its_update_gate(show):
    model = SequenceModel(build("gru", vocab_size=8, width=4, layers=1))
    for name in ("bias_ih_l0", "bias_hh_l0"):
        getattr(model.module.rnn, name).data[:] = torch.arange(12.0)
    assert show(model, Weights(), sequences=1).metrics["forget_bias"].value == 2 * 5.5


def test_orthogonal_weights_have_radius_one(show):
    measured = show(zoo.orthogonal_rnn(), Weights(), sequences=1)
    assert measured.metrics["spectral_radius"].value == pytest.approx(1)
    assert "forget_bias" not in measured.metrics


def test_the_largest_radius_of_all_layers_is_the_one(show):
    rnn = nn.RNN(2, 2, num_layers=2, batch_first=True, bias=False)
    rnn.weight_hh_l0.data, rnn.weight_hh_l1.data = 0.5 * torch.eye(2), 0.8 * torch.eye(2)
    model = SequenceModel(Stack(nn.Embedding(8, 2), rnn, nn.Linear(2, 8)))
    measured = show(model, Weights(), sequences=1)
    assert measured.metrics["spectral_radius"].value == pytest.approx(0.8)


def test_the_radius_is_not_the_norm(show):
    rnn = nn.RNN(2, 2, batch_first=True, bias=False)
    rnn.weight_hh_l0.data = torch.tensor([[0.9, 5.0], [0.0, 0.9]])
    model = SequenceModel(Stack(nn.Embedding(8, 2), rnn, nn.Linear(2, 8)))
    (row,) = show(model, Weights(), sequences=1).series[0].rows
    assert row[2] == pytest.approx(0.9)
    assert row[3] == pytest.approx(5.157, abs=1e-3)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
def test_a_projection_is_part_of_the_loop(show):
    lstm = nn.LSTM(4, 6, proj_size=3, batch_first=True)
    model = SequenceModel(Stack(nn.Embedding(8, 4), lstm, nn.Linear(3, 8)))
    loop = (lstm.weight_hh_l0[12:18] @ lstm.weight_hr_l0).detach().double()
    radius = torch.linalg.eigvals(loop).abs().max().item()
    measured = show(model, Weights(), sequences=1)
    assert measured.metrics["spectral_radius"].value == pytest.approx(radius, rel=1e-5)


def test_a_model_without_recurrence_has_no_such_weights(show):
    with pytest.raises(NotApplicable, match=r"no nn.RNN, nn.LSTM or nn.GRU inside"):
        show(zoo.uniform_attention(), Weights(), sequences=1)
