"""Hops, operators, depth and FLOPs of whole runs against closed forms and hand counts."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.contracts import Trace
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.trace import trace
from seqprobe.reference import zoo
from seqprobe.reference.language_models import AttentionLM, CausalSelfAttention

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
TIME, WIDTH, SYMBOLS = 24, 6, 5
K = np.arange(TIME)


class Model(nn.Module):
    """Embedding, anything on (batch, time, width), head."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.parts = nn.ModuleList(parts)
        self.head = nn.LazyLinear(SYMBOLS)
        with torch.no_grad():
            self(torch.zeros(1, 3, dtype=torch.long))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for part in self.parts:
            mixed = part(x)
            x = mixed[0] if isinstance(mixed, tuple) else mixed
        logits: Tensor = self.head(x)
        return logits


class TimeFirst(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.part(x.transpose(0, 1))
        out: Tensor = mixed[0] if isinstance(mixed, tuple) else mixed
        return out.transpose(0, 1)


class CellLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        hidden = cell = torch.zeros_like(x[:, 0])
        for step in range(x.shape[1]):
            hidden, cell = self.cell(x[:, step], (hidden, cell))
            out[:, step] = hidden
        return out


class SkipLag(nn.Module):
    """h_t = tanh(W x_t + sum over lags of U h_{t-lag})."""

    def __init__(self, *lags: int) -> None:
        super().__init__()
        self.lags = lags
        self.own = nn.Linear(WIDTH, WIDTH)
        self.back = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in lags)

    def forward(self, x: Tensor) -> Tensor:
        states: list[Tensor] = []
        for step in self.own(x).unbind(1):
            for lag, back in zip(self.lags, self.back, strict=True):
                if lag <= len(states):
                    step = step + back(states[-lag])  # noqa: PLW2901
            states.append(step.tanh())
        return torch.stack(states, dim=1)


class CausalConv(nn.Module):
    def __init__(self, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.conv = nn.Conv1d(WIDTH, WIDTH, kernel, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x.mT, (self.past, 0))).mT
        return out


def pruned() -> nn.Module:
    """Only the first and the last of three weights are left."""
    layer = CausalConv(3)
    layer.conv.weight.data[..., 1] = 0
    return layer


class Scan(nn.Module):
    """h_t = a_t h_{t-1} + x_t by doubling (Hillis and Steele, 1986)."""

    def forward(self, x: Tensor) -> Tensor:
        a, lag = torch.full_like(x, 0.9), 1
        while lag < x.shape[1]:
            past, decay = F.pad(x, (0, 0, lag, 0)), F.pad(a, (0, 0, lag, 0))
            x, a, lag = x + a * past[:, :-lag], a * decay[:, :-lag], 2 * lag
        return x


class RunningSum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(1)


class MixingMatrix(nn.Module):
    """A parameter that is zero where positions would look ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(TIME, TIME).tril())

    def forward(self, x: Tensor) -> Tensor:
        return self.weight[: x.shape[1], : x.shape[1]] @ x


class OneClassLate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., :1], F.pad(x[:, :-1, 1:], (0, 0, 1, 0))], dim=-1)


class Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mT


class Outputs(nn.Module):
    """Of a layer that returns its states, too."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.part(x)
        out: Tensor = mixed[0] if isinstance(mixed, tuple) else mixed
        return out


class Inference(Outputs):
    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).clone()


class ByVector(nn.Module):
    """A matrix times one vector after the other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.stack([self.weight @ step for step in row]) for row in x])


class MultiheadAttention(nn.Module):
    def __init__(self, *, batch_first: bool, weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=batch_first)
        self.axis, self.weights = int(batch_first), weights

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.axis else x.transpose(0, 1)
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[self.axis], dtype=x.dtype)
        mixed: Tensor = self.attention(x, x, x, attn_mask=mask, need_weights=self.weights)[0]
        return mixed if self.axis else mixed.transpose(0, 1)


class Encoder(nn.Module):
    def __init__(self, activation: str, *, norm_first: bool, causal: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            WIDTH, 2, 8, 0.1, activation, batch_first=True, norm_first=norm_first
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        out: Tensor = self.encoder(x, mask=mask if self.causal else None)
        return out


def model(*parts: nn.Module) -> SequenceModel:
    return SequenceModel(Model(*parts))


def traced(model: SequenceModel, time: int = TIME, sources: Sequence[int] | None = None) -> Trace:
    found = model.trace(model.example(1, time), range(time) if sources is None else sources)
    assert found.without_rule == ()
    assert found.difference < 1e-5
    return found


def over_distance(crossings: np.ndarray) -> np.ndarray:
    """What all outputs agree on, as a function of the distance from the output."""
    time = len(crossings)
    assert np.isinf(crossings[np.triu_indices(time, 1)]).all()
    for k in range(time):
        assert len(set(np.diag(crossings, -k))) == 1
    return crossings[-1, ::-1]


def lags(*lags: int) -> np.ndarray:
    """The fewest lags that add up to each distance."""
    fewest = np.full(TIME, np.inf)
    fewest[0] = 0
    for k in range(1, TIME):
        fewest[k] = 1 + min((fewest[k - lag] for lag in lags if lag <= k), default=np.inf)
    return fewest


def reach(span: int, layers: int) -> np.ndarray:
    """Layers that each look back by up to `span`."""
    return np.where(span * layers >= K, np.ceil(K / span), np.inf)


RNN = lambda kind, **more: kind(WIDTH, WIDTH, batch_first=True, **more)  # noqa: E731
HOPS: dict[str, tuple[Callable[[], SequenceModel], np.ndarray]] = {
    "memoryless": (zoo.memoryless, np.where(K == 0, 0, np.inf)),
    "lag oracle": (lambda: zoo.lag_oracle(7), np.where(K == 7, 1, np.inf)),
    "shift register": (lambda: zoo.shift_register(5), np.where(K < 5, K > 0, np.inf)),
    "one class late": (
        lambda: SequenceModel(OneClassLate(), features=2),
        np.where(K < 2, K, np.inf),
    ),
    "leaky": (lambda: zoo.leaky(0.9), K),
    "rnn": (lambda: model(RNN(nn.RNN)), K),
    "deep rnn": (lambda: model(RNN(nn.RNN, num_layers=3)), K),
    "relu rnn, time first": (lambda: model(TimeFirst(nn.RNN(WIDTH, 4, 2))), K),
    "lstm": (lambda: model(RNN(nn.LSTM, num_layers=2)), K),
    "lstm cells": (lambda: model(CellLoop()), K),
    "gru": (lambda: model(RNN(nn.GRU, num_layers=2)), K),
    "lags 1 and 5": (lambda: model(SkipLag(1, 5)), K // 5 + K % 5),
    "lags 1, 4 and 6": (lambda: model(SkipLag(1, 4, 6)), lags(1, 4, 6)),
    "lags 2 and 5": (lambda: model(SkipLag(2, 5)), lags(2, 5)),
    "convolutions of 4": (lambda: model(*[CausalConv(4) for _ in range(3)]), reach(3, 3)),
    "convolutions of 2": (lambda: model(*[CausalConv(2) for _ in range(5)]), reach(1, 5)),
    "dilated": (
        lambda: model(*[CausalConv(2, 2**layer) for layer in range(4)]),
        np.where(K < 16, [bin(k).count("1") for k in K], np.inf),
    ),
    "pruned convolution": (lambda: model(pruned()), np.where(K == 2, 1, np.where(K, np.inf, 0))),
    "mixing matrix": (lambda: model(MixingMatrix()), np.minimum(K, 1)),
    "window": (lambda: zoo.window_attention(4, layers=3), reach(3, 3)),
    "uniform attention": (zoo.uniform_attention, np.minimum(K, 1)),
    "attention": (lambda: SequenceModel(AttentionLM(SYMBOLS, 8, 2, 2, TIME)), np.minimum(K, 1)),
    "scan": (lambda: model(Scan()), np.array([bin(k).count("1") for k in K])),
    "running mean": (lambda: model(RunningSum()), np.minimum(K, 1)),
}


@pytest.mark.parametrize("name", HOPS)
def test_hops_have_their_closed_form(name: str) -> None:
    build, expected = HOPS[name]
    np.testing.assert_array_equal(over_distance(traced(build()).crossings), expected)


# operators per step, on the shortest path and on the longest chain
STEPS = {
    "rnn": (nn.RNN, 3, 3),  # product, sum, tanh
    "lstm": (nn.LSTM, 2, 7),  # forget, add; product, sum, gate, forget, add, tanh, gate
    "gru": (nn.GRU, 3, 9),  # subtract, multiply, add; before them product to tanh of the new value
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("layers", [1, 3])
def test_operators_grow_by_what_a_step_takes(name: str, layers: int) -> None:
    kind, shortest, longest = STEPS[name]
    deep = model(RNN(kind, num_layers=layers))
    operations = over_distance(traced(deep).operations)
    np.testing.assert_array_equal(np.diff(operations)[2 * layers :], shortest)
    assert traced(deep, TIME + 7).depth - traced(deep).depth == 7 * longest


def test_every_operator_from_an_input_to_an_output_is_counted() -> None:
    operations = over_distance(traced(model(RNN(nn.RNN))).operations)
    np.testing.assert_array_equal(operations, 3 + 3 * K + 1)  # the head is one more
    operations = over_distance(traced(model(RNN(nn.LSTM))).operations)
    through_gates, through_cell = 4 + 4 * K + 1, 5 + 2 * K + 2 + 1
    np.testing.assert_array_equal(operations, np.minimum(through_gates, through_cell))
    operations = over_distance(traced(model(Scan())).operations)
    np.testing.assert_array_equal(operations, 5 + HOPS["scan"][1] + 1)  # 5 doublings


def test_attention_takes_the_same_operators_at_all_distances_and_lengths() -> None:
    attention = SequenceModel(AttentionLM(SYMBOLS, 8, 2, 2, TIME))
    found = traced(attention)
    assert len(set(over_distance(found.operations)[1:])) == 1
    assert found.depth == traced(attention, 9).depth


def test_a_bidirectional_layer_is_as_far_from_what_comes_as_from_what_was() -> None:
    found = traced(model(RNN(nn.LSTM, bidirectional=True)))
    np.testing.assert_array_equal(found.operations, found.operations.T)
    np.testing.assert_array_equal(np.diff(found.operations[0])[2:], 2)


def test_flops_are_those_of_matrix_products() -> None:
    for n, d in ((8, 4), (24, 8)):
        block = nn.Sequential(nn.Linear(d, d, bias=False), CausalSelfAttention(d, 2))
        del block[0]
        attention = SequenceModel(block, features=d)
        assert traced(attention, n).flops == n * (8 * d**2 + 4 * n * d)
        lstm = SequenceModel(nn.Sequential(Outputs(nn.LSTM(d, d, batch_first=True))), features=d)
        assert traced(lstm, n).flops == 16 * n * d**2
        assert traced(SequenceModel(ByVector(d), features=d), n).flops == 2 * n * d**2


def test_bytes_are_those_read_and_written_by_operators() -> None:
    found = traced(
        SequenceModel(nn.Sequential(nn.Tanh(), Transposed(), Transposed()), features=3), 7
    )
    assert found.touched == 2 * 7 * 3 * 4


def test_the_depth_of_a_memoryless_model_is_that_of_its_head() -> None:
    found = traced(zoo.memoryless())
    assert found.depth == 1
    assert found.operations[5, 5] == 1


EVERY = {
    "rnn": lambda: RNN(nn.RNN),
    "relu": lambda: RNN(nn.RNN, nonlinearity="relu"),
    "lstm": lambda: RNN(nn.LSTM, num_layers=2, dropout=0.5),
    "projected": lambda: RNN(nn.LSTM, proj_size=3),
    "gru": lambda: RNN(nn.GRU, num_layers=2, bias=False),
    "both ways": lambda: RNN(nn.RNN, bidirectional=True),
    "lstm both ways": lambda: RNN(nn.LSTM, bidirectional=True, num_layers=2),
    "gru both ways": lambda: RNN(nn.GRU, bidirectional=True),
    "time first rnn": lambda: TimeFirst(nn.RNN(WIDTH, WIDTH)),
    "time first lstm": lambda: TimeFirst(nn.LSTM(WIDTH, WIDTH, proj_size=3)),
    "time first gru": lambda: TimeFirst(nn.GRU(WIDTH, WIDTH)),
    "attention": lambda: MultiheadAttention(batch_first=True, weights=False),
    "time first attention": lambda: MultiheadAttention(batch_first=False, weights=False),
    "attention with weights": lambda: MultiheadAttention(batch_first=True, weights=True),
    "post-norm": lambda: Encoder("relu", norm_first=False, causal=True),
    "pre-norm": lambda: Encoder("gelu", norm_first=True, causal=True),
    "unmasked, post-norm": lambda: Encoder("gelu", norm_first=False, causal=False),
    "unmasked, pre-norm": lambda: Encoder("relu", norm_first=True, causal=False),
    "inference mode": lambda: Inference(Encoder("relu", norm_first=False, causal=True)),
    "convolution": lambda: CausalConv(3),
    "batch norm": lambda: nn.Sequential(Transposed(), nn.BatchNorm1d(WIDTH), Transposed()),
    "group norm": lambda: nn.Sequential(Transposed(), nn.GroupNorm(2, WIDTH), Transposed()),
    "rms norm": lambda: nn.Sequential(nn.RMSNorm(WIDTH), nn.SiLU(), nn.GLU()),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_operator_of_common_layers_has_a_rule(name: str) -> None:
    whole = model(EVERY[name]())
    found = traced(whole, 13)
    support = np.isfinite(found.crossings)
    np.testing.assert_array_equal(support, changed(whole, 13))


def changed(model: SequenceModel, time: int) -> np.ndarray:
    """Which outputs change with which inputs."""
    model.module.double()
    tokens = model.example(1, time)
    plain, columns = model(tokens), []
    for position in range(time):
        edited = tokens.clone()
        edited[:, position] = (edited[:, position] + 1) % SYMBOLS
        columns.append(((model(edited) - plain).abs() > 1e-12).any(-1)[0].numpy())
    return np.stack(columns, axis=1)


def test_some_sources_give_the_numbers_of_all() -> None:
    for part in (RNN(nn.LSTM), CausalConv(4), Encoder("relu", norm_first=True, causal=True)):
        whole = model(part)
        every, some = traced(whole), traced(whole, sources=[3, 0, 17])
        np.testing.assert_array_equal(some.operations, every.operations[:, [3, 0, 17]])
        np.testing.assert_array_equal(some.crossings, every.crossings[:, [3, 0, 17]])
        assert (some.depth, some.flops, some.touched) == (every.depth, every.flops, every.touched)
        assert traced(whole, sources=[]).crossings.shape == (TIME, 0)


def test_a_time_first_module_is_traced_as_its_batch_first_twin() -> None:
    part = nn.GRU(WIDTH, WIDTH)
    theirs, ours = nn.Sequential(Outputs(part)), nn.Sequential(Outputs(TimeFirst(part)))
    first, second = (traced(SequenceModel(module, features=WIDTH)) for module in (theirs, ours))
    np.testing.assert_array_equal(first.operations, second.operations)
    np.testing.assert_array_equal(first.crossings, second.crossings)


def test_the_traced_outputs_are_the_plain_ones() -> None:
    whole = model(RNN(nn.LSTM, num_layers=2))
    tokens = whole.example(1, TIME)
    outputs, _ = trace(whole.module, tokens, whole.run)
    assert (outputs - whole(tokens)).abs().max() < 1e-6
    assert 0 <= whole.trace(tokens).difference < 1e-5


def test_the_module_and_the_settings_of_torch_are_left_as_they_were() -> None:
    whole = model(
        Encoder("relu", norm_first=True, causal=True), RNN(nn.LSTM, num_layers=2, dropout=0.5)
    )
    module = whole.module
    next(module.parameters()).requires_grad_(False)
    module.train()
    module.parts[0].eval()
    seen = lambda: (  # noqa: E731
        [part.training for part in module.modules()],
        [p.requires_grad for p in module.parameters()],
        [p.clone() for p in module.parameters()],
        [torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled()],
        [torch.backends.cuda.flash_sdp_enabled(), torch.is_grad_enabled()],
    )
    before, tokens = seen(), whole.example(1, TIME)
    given = tokens.clone()
    traced(whole)
    for was, now in zip(before, seen(), strict=True):
        for a, b in zip(was, now, strict=True):
            assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))
    assert torch.equal(tokens, given)


def test_inputs_that_share_memory_are_told_apart() -> None:
    part = RNN(nn.RNN)
    tokens = torch.tensor([[2]]).expand(1, TIME)
    np.testing.assert_array_equal(
        over_distance(model(part).trace(tokens, range(TIME)).crossings), K
    )


def test_an_operator_in_place_on_complex_numbers_counts_as_one() -> None:
    """They lie in the memory of real ones."""

    def conjugated(x: Tensor) -> Tensor:
        parts = (x + 1).unflatten(2, (2, 2))
        torch.view_as_complex(parts).neg_()
        return parts.flatten(2)

    x = torch.randn(1, 5, 4)
    _, found = trace(nn.Identity(), x, conjugated, range(5))
    assert np.diag(found.operations).tolist() == [2] * 5
