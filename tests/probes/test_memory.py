"""Bytes kept and carried, against closed forms."""

import pytest
import torch
from torch import nn

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.memory import Memory
from seqprobe.reference import layers, zoo
from seqprobe.reference.language_models import build

D = 128


def show_one(show, model):
    return show(model, Memory(), sequences=1)


def column(measured, name):
    return list(measured.series[0].column(name))


def test_a_recurrence_carries_the_same_at_every_length(show):
    measured = show_one(show, layers.lstm_loop(D))
    assert measured.metrics["state_bytes"].value == 2 * D * 4
    assert measured.metrics["cache_bytes_per_token"].value == 0
    assert set(column(measured, "carried")) == {2 * D * 4}
    assert measured.metrics["training_exponent"].value == pytest.approx(1, abs=0.05)
    assert measured.headline.startswith("Carries 1.0 KiB from step to step; training keeps ")


def test_attention_keeps_more_with_every_token(show):
    measured = show_one(show, SequenceModel(build("attention", vocab_size=8, width=16, layers=2)))
    per_token = 2 * 2 * 16 * 4
    assert measured.metrics["cache_bytes_per_token"].value == per_token
    assert column(measured, "carried") == [n * per_token for n in column(measured, "length")]
    assert measured.headline.startswith("Keeps 256 bytes for each token")


class Merged(nn.Module):
    """Heads that PyTorch takes apart within one call."""

    def __init__(self):
        super().__init__()
        self.heads = nn.MultiheadAttention(16, 4)

    def forward(self, x):
        ahead = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        steps = x.transpose(0, 1)
        return self.heads(steps, steps, steps, attn_mask=ahead, need_weights=False)[0].transpose(
            0, 1
        )


def test_a_matrix_per_head_is_smaller_than_keys_and_values_from_half_its_width_on(show):
    """Two layers of four heads of width 4; and one layer of the same."""
    lm = SequenceModel(build("attention", vocab_size=8, width=16, layers=2))
    for model, layers_ in ((lm, 2), (SequenceModel(Merged(), features=16), 1)):
        metrics = show_one(show, model).metrics
        assert metrics["linear_state_bytes"].value == layers_ * 4 * 4 * 4 * 4
        even = metrics["linear_state_bytes"].value / metrics["cache_bytes_per_token"].value
        assert even == 4 / 2


def test_a_recurrence_has_no_heads(show):
    found = show_one(show, layers.lstm_loop(D)).metrics["linear_state_bytes"]
    assert (found.value, found.reason) == (None, "no heads of attention are known")


def test_attention_as_a_matrix_grows_between_the_first_and_the_second_power(show):
    eager = show_one(show, layers.attention(D, 4, fused=False))
    lengths = column(eager, "length")
    assert column(eager, "training") == [16 * n**2 + 2560 * n for n in lengths]
    fused = show_one(show, layers.attention(D, 4, fused=True))
    assert fused.metrics["training_exponent"].value == pytest.approx(1)
    assert 1.1 < eager.metrics["training_exponent"].value < 2


def test_what_is_unknown_is_not_estimable(show):
    measured = show_one(show, zoo.lag_oracle(3))
    assert "the model's own code" in measured.metrics["state_bytes"].reason
    assert "carried" not in [column.name for column in measured.series[0].columns]


def test_parameters_have_their_bytes(show):
    model = SequenceModel(nn.GRU(D, 8, batch_first=True), features=D)
    own = sum(parameter.numel() * 4 for parameter in model.module.parameters())
    assert show_one(show, model).metrics["parameter_bytes"].value == own
