"""Bytes and FLOPs against closed forms."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seqprobe.models.costs import Costs
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import layers, zoo
from seqprobe.reference.language_models import build

D, HEADS = 128, 4


def costs(module):
    if isinstance(module, SequenceModel):
        return Costs(module)
    return Costs(SequenceModel(module, features=D))


def inputs(length):
    return torch.randn(1, length, D)


@pytest.mark.parametrize("n", [32, 64, 127])
def test_attention_keeps_its_map_and_fused_attention_does_not(n):
    assert costs(layers.attention(D, HEADS, fused=False)).saved(inputs(n)) == 16 * n**2 + 2560 * n
    assert costs(layers.attention(D, HEADS, fused=True)).saved(inputs(n)) == 2576 * n


def test_a_part_of_a_longer_sequence_counts_alone():
    attention = costs(layers.attention(D, HEADS, fused=True))
    assert attention.saved(inputs(128)[:, :32]) == 2576 * 32


def test_a_step_of_an_lstm_cell_keeps_eight_vectors():
    loop = costs(layers.lstm_loop(D))
    assert loop.saved(inputs(65)) - loop.saved(inputs(64)) == 8 * D * 4


def test_saving_leaves_the_module_as_it_was():
    lstm = nn.LSTM(D, D, num_layers=2, dropout=0.5, batch_first=True)
    lstm.weight_hh_l0.requires_grad_(False)
    measured = costs(lstm)
    measured.saved(inputs(8))
    measured.seconds(inputs(8), backward=True)
    assert lstm.training
    assert lstm.dropout == 0.5
    assert not lstm.weight_hh_l0.requires_grad
    assert all(parameter.grad is None for parameter in lstm.parameters())


@pytest.mark.parametrize("n", [32, 127])
def test_flops_of_attention_and_of_lstms(n):
    for fused in (False, True):
        trace = costs(layers.attention(D, HEADS, fused=fused)).trace(inputs(n))
        assert trace.flops == n * (8 * D**2 + 4 * n * D)
    for module in (layers.lstm_loop(D), nn.LSTM(D, D, batch_first=True)):
        assert costs(module).trace(inputs(n)).flops == 16 * n * D**2


@pytest.mark.parametrize(
    ("module", "floats"),
    [
        (nn.LSTM(D, 32, num_layers=3, batch_first=True), 3 * 2 * 32),
        (nn.GRU(D, 32, num_layers=2, batch_first=True), 2 * 32),
        (layers.lstm_loop(D), 2 * D),
    ],
)
def test_a_recurrence_carries_its_states_and_nothing_per_token(module, floats):
    carried = costs(module).carried(inputs(32))
    assert (carried.state, carried.per_token) == (4 * floats, 0)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
def test_a_projected_state_is_smaller():
    lstm = nn.LSTM(D, 32, proj_size=5, batch_first=True)
    assert costs(lstm).carried(inputs(16)).state == 4 * (32 + 5)


def test_attention_keeps_a_key_and_a_value_per_token_and_layer():
    model = SequenceModel(build("attention", vocab_size=8, width=16, layers=3))
    carried = Costs(model).carried(model.example(1, 32))
    assert (carried.state, carried.per_token) == (0, 3 * 2 * 16 * 4)


def test_the_models_own_cache_says_what_it_keeps():
    """Two numbers for each token, and a state of five."""

    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(D, 5, batch_first=True)

        def forward(self, x):
            out = self.rnn(x)[0]
            cache = {"layers": [torch.zeros(1, x.shape[1], 2), [torch.zeros(5)]]}
            return type("Output", (), {"logits": out, "past_key_values": cache})()

    carried = costs(Cached()).carried(inputs(32))
    assert (carried.state, carried.per_token) == (20, 8)
    assert carried.told_by == "the model's own cache"


def test_a_time_first_model_is_asked_for_its_cache_as_it_reads():
    """Two numbers for each token."""

    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(D, 5)

        def forward(self, x):
            cache = [torch.zeros(len(x), 2)]
            return type("Output", (), {"logits": self.rnn(x)[0], "past_key_values": cache})()

    measured = costs(Cached())
    assert measured.model.time_first
    assert (measured.carried(inputs(32)).state, measured.carried(inputs(32)).per_token) == (0, 8)


class Keeping(nn.Module):
    """Its cache is whatever a function of the number of tokens says, when asked for it."""

    def __init__(self, cache):
        super().__init__()
        self.rnn, self.cache = nn.GRU(D, 5, batch_first=True), cache

    def forward(self, x, use_cache=False):
        out = self.rnn(x)[0]
        kept = self.cache(x.shape[1]) if use_cache else None
        return type("Output", (), {"logits": out, "past_key_values": kept})()


def views(time):
    """Four numbers for each token: two halves of one tensor, one of them named twice."""
    keys, values = torch.zeros(time, 4).chunk(2, -1)
    return keys, values, {"again": keys, "read": torch.tensor(time)}


@pytest.mark.parametrize(
    ("cache", "state", "per_token"),
    [
        (views, 0, 16),
        (lambda _: [torch.zeros(3, dtype=torch.complex64)], 24, 0),
        (lambda n: torch.zeros(1, 2, dtype=torch.bfloat16).expand(n, 2), 4, 0),
        (lambda n: torch.zeros(min(n, 10)), 40, 0),
    ],
    ids=["views", "complex", "repeated", "window"],
)
def test_a_cache_is_asked_for_and_counted_once(cache, state, per_token):
    carried = costs(Keeping(cache)).carried(inputs(32))
    assert (carried.state, carried.per_token) == (state, per_token)


@pytest.mark.parametrize(("window", "bytes_"), [(20, "64, 80, 80"), (28, "64, 96, 112")])
def test_a_cache_that_fills_up_on_the_way_has_no_bytes_per_token(window, bytes_):
    carried = costs(Keeping(lambda n: torch.zeros(min(n, window)))).carried(inputs(32))
    assert (carried.state, carried.per_token) == (None, None)
    assert carried.reason == (
        f"its cache has {bytes_} bytes after 16, 24, 32 tokens: not the same for each token"
    )


def test_where_asking_for_a_cache_fails_modules_are_counted():
    def refuse(_):
        raise ValueError("no")

    carried = costs(Keeping(refuse)).carried(inputs(32))
    assert (carried.state, carried.told_by) == (5 * 4, "sizes of states, keys and values")


@pytest.mark.parametrize("known_calls", [1, 2])
def test_attention_in_own_code_beside_a_known_one_is_not_left_out(known_calls):
    class Causal(nn.Module):
        def __init__(self, known):
            super().__init__()
            self.known, self.mix = known, nn.Linear(D, D)

        def forward(self, x):
            for _ in range(self.known):
                x = F.scaled_dot_product_attention(x, x, x, is_causal=True)
            if not self.known:
                ahead = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
                x = (x @ x.mT / D).masked_fill(ahead, -torch.inf).softmax(-1) @ x
            return self.mix(x)

    both = nn.Sequential(Causal(known_calls), Causal(0))
    carried = costs(both).carried(inputs(16))
    assert carried.per_token is None
    assert carried.reason == "1 keeps its keys and values in its own code"
    known = costs(nn.Sequential(Causal(known_calls), Causal(1))).carried(inputs(16))
    assert known.per_token == (known_calls + 1) * 2 * D * 4


def test_what_cannot_be_known_is_said():
    assert (
        "depend on later inputs"
        in costs(layers.attention(D, HEADS, fused=True)).carried(inputs(16)).reason
    )
    model = zoo.lag_oracle(3)
    assert "the model's own code" in Costs(model).carried(model.example(1, 16)).reason


def test_a_causal_convolution_carries_what_its_kernel_still_needs():
    class Causal(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(D, 8, 3, dilation=2)

        def forward(self, x):
            return self.conv(F.pad(x.mT, (4, 0))).mT

    carried = costs(Causal()).carried(inputs(32))
    assert (carried.state, carried.per_token) == (4 * D * 4, 0)


def test_tied_parameters_count_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(D, D, bias=False), nn.Linear(D, D, bias=False)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(x))

    assert costs(Tied()).parameters() == D * D * 4


def test_timing_a_backward_leaves_gradients_alone():
    """Neither those that are there are added to, nor do new ones stay."""
    module = build("attention", vocab_size=8, width=16, layers=1)
    kept = torch.ones_like(module.head.weight)
    module.head.weight.grad = kept
    model = SequenceModel(module)
    assert Costs(model).seconds(model.example(1), backward=True) > 0
    assert module.head.weight.grad is kept
    assert torch.equal(kept, torch.ones_like(kept))
    others = [p for p in module.parameters() if p is not module.head.weight]
    assert others
    assert all(parameter.grad is None for parameter in others)


def test_ceilings_are_above_what_a_model_reaches():
    measured = costs(nn.LSTM(D, D, batch_first=True))
    floating, moving = measured.ceilings()
    trace, seconds = measured.trace(inputs(64)), measured.seconds(inputs(64))
    assert 0 < trace.flops / seconds < floating
    assert moving > 1e8
    assert measured.peak(inputs(8)) is None
