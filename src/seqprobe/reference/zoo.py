"""Models with a known answer: every probe has to recover it, and to find nothing in `memoryless`.

Distances count from the output: an output at t that depends on the input at t - k has distance k.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.models.sequence_model import SequenceModel


class Stack(nn.Module):
    """Embedding, one memory that mixes positions, and a linear head."""

    def __init__(self, embedding: nn.Module, memory: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.embedding, self.memory, self.head = embedding, memory, head

    def forward(self, inputs: Tensor) -> Tensor:
        state = self.memory(self.embedding(inputs))
        outputs: Tensor = self.head(state[0] if isinstance(state, tuple) else state)
        return outputs


def memoryless(symbols: int = 8, width: int = 16) -> SequenceModel:
    """The output depends on the present token alone: nothing to find at any distance above 0."""
    stack = Stack(nn.Embedding(symbols, width), nn.Identity(), nn.Linear(width, symbols))
    return SequenceModel(stack, sites=["memory"])


class _Leaky(nn.Module):
    def __init__(self, a: float, layers: int) -> None:
        super().__init__()
        self.a, self.layers = a, layers

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        for _ in range(self.layers):
            x = self._summed(x)
        return x

    def _summed(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        state, states = torch.zeros_like(x[:, 0]), []
        for step in x.unbind(1):
            state = self.a * state + step
            states.append(state)
        return torch.stack(states, dim=1)


def leaky(a: float, width: int = 4, layers: int = 1) -> SequenceModel:
    """h_t = a h_{t-1} + x_t on real-valued inputs: the gradient is exactly a^k.

    Of a second layer upon the first it is (k + 1) a^k, of a third one (k + 1) (k + 2) a^k / 2.
    """
    head = nn.Linear(width, width, bias=False)
    nn.init.eye_(head.weight)
    stack = Stack(nn.Identity(), _Leaky(a, layers), head)
    return SequenceModel(stack, features=width, sites=["memory"])


class _Carried(nn.Module):
    map: Tensor

    def __init__(self, a: float, width: int) -> None:
        super().__init__()
        turn = torch.empty(width, width)
        self.register_buffer("map", a * nn.init.orthogonal_(turn))

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: Float[Tensor, "batch width"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], Float[Tensor, "batch width"]]:
        carried, states = torch.zeros_like(x[:, 0]) if state is None else state, []
        for step in x.unbind(1):
            carried = carried @ self.map + step
            states.append(carried)
        return torch.stack(states, dim=1), carried


def carried_rnn(a: float, width: int = 4) -> SequenceModel:
    """h_t = a Q h_{t-1} + x_t with Q orthogonal, which returns its state and takes it again.

    Chunks equal one pass, and two pasts are a^k as far apart after k steps.
    """
    return SequenceModel(_Carried(a, width), features=width)


def constant_gate_lstm(b: float, symbols: int = 8, width: int = 4) -> SequenceModel:
    """An `nn.LSTM` whose forget gate is always sigmoid(b): the gradient is sigmoid(b)^k.

    Recurrent weights are zero, only the cell candidate reads the input, and all embeddings are
    zero, so that no gate or candidate ever moves.
    """
    lstm = nn.LSTM(width, width, batch_first=True)
    for parameter in lstm.parameters():
        nn.init.zeros_(parameter)
    weights = lstm.state_dict()
    weights["bias_ih_l0"][width : 2 * width] = b
    weights["weight_ih_l0"][2 * width : 3 * width] = torch.eye(width)
    return SequenceModel(Stack(_zero_embedding(symbols, width), lstm, nn.Linear(width, symbols)))


def constant_gate_half_life(b: float) -> float:
    """Steps in which sigmoid(b)^k halves."""
    return math.log(2) / math.log1p(math.exp(-b))


def orthogonal_rnn(symbols: int = 8, width: int = 16) -> SequenceModel:
    """An `nn.RNN` with an orthogonal recurrent matrix, held at zero: the gradient stays flat."""
    rnn = nn.RNN(width, width, batch_first=True, bias=False)
    weights = rnn.state_dict()
    nn.init.orthogonal_(weights["weight_hh_l0"])
    nn.init.eye_(weights["weight_ih_l0"])
    return SequenceModel(Stack(_zero_embedding(symbols, width), rnn, nn.Linear(width, symbols)))


def _zero_embedding(symbols: int, width: int) -> nn.Embedding:
    return _embedding(torch.zeros(symbols, width))


def _one_hot(symbols: int) -> nn.Embedding:
    return _embedding(torch.eye(symbols))


def _embedding(table: Float[Tensor, "symbols width"]) -> nn.Embedding:
    symbols, width = table.shape
    return nn.Embedding(symbols, width, _weight=table, _freeze=True)


class _ShiftRegister(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def forward(self, x: Float[Tensor, "batch time symbols"]) -> Float[Tensor, "batch time state"]:
        time = x.shape[1]
        return torch.cat([F.pad(x, (0, 0, k, 0))[:, :time] for k in range(self.depth)], dim=-1)


def shift_register(depth: int, symbols: int = 8) -> SequenceModel:
    """The state holds the last `depth` symbols: log2(symbols) bits for k < depth, else none."""
    memory = _ShiftRegister(depth)
    head = nn.Linear(depth * symbols, symbols)
    return SequenceModel(Stack(_one_hot(symbols), memory, head), sites=["memory"])


class _RandomReplacement(nn.Module):
    """Keeps one symbol; at each step the new one takes its place with probability q.

    The coin is a hash of the sequence so far (a 64-bit linear congruential generator with the
    constants of Knuth's MMIX), so that equal inputs give equal states.
    """

    def __init__(self, q: float) -> None:
        super().__init__()
        self.q = q

    def forward(
        self, x: Float[Tensor, "batch time symbols"]
    ) -> Float[Tensor, "batch time symbols"]:
        symbol = x.argmax(-1)
        seed = torch.ones(len(x), dtype=torch.int64, device=x.device)
        held, states = x[:, 0], []
        for step in range(x.shape[1]):
            seed = (seed + symbol[:, step]) * 6364136223846793005 + 1442695040888963407
            coin = (seed >> 33).remainder(2**20) / 2**20
            held = torch.where((coin < self.q)[:, None], x[:, step], held)
            states.append(held)
        return torch.stack(states, dim=1)


def random_replacement(q: float, symbols: int = 8) -> SequenceModel:
    """One symbol of memory, overwritten with probability q: see `random_replacement_bits`."""
    stack = Stack(_one_hot(symbols), _RandomReplacement(q), nn.Linear(symbols, symbols))
    return SequenceModel(stack, sites=["memory"])


def random_replacement_bits(q: float, symbols: int, k: int) -> float:
    """I(x_{t-k}; h_t) of `random_replacement` on independent uniform symbols."""
    p = 1 / symbols + (1 - 1 / symbols) * q * (1 - q) ** k
    wrong = 1 - p
    return math.log2(symbols) + p * math.log2(p) + wrong * math.log2(wrong / (symbols - 1))


class _LagOracle(nn.Module):
    def __init__(self, lag: int, symbols: int, epsilon: float) -> None:
        super().__init__()
        self.lag, self.symbols, self.epsilon = lag, symbols, epsilon

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time symbols"]:
        uniform = torch.full((*tokens.shape, self.symbols), 1 / self.symbols)
        named = F.one_hot(tokens[:, : -self.lag], self.symbols).to(uniform)
        uniform[:, self.lag :] *= self.epsilon
        uniform[:, self.lag :] += (1 - self.epsilon) * named
        return uniform.log()


def lag_oracle(lag: int, symbols: int = 8, epsilon: float = 0.1) -> SequenceModel:
    """At t it expects x_{t-lag} with probability 1 - epsilon, else anything.

    Only distance `lag` has influence: see `lag_oracle_influence`.
    """
    return SequenceModel(_LagOracle(lag, symbols, epsilon), vocab_size=symbols)


def lag_oracle_influence(symbols: int = 8, epsilon: float = 0.1) -> float:
    """Bits of KL divergence when the one token that matters is drawn anew."""
    low = epsilon / symbols
    high = 1 - epsilon + low
    return (1 - 1 / symbols) * (high - low) * math.log2(high / low)


class _Markov(nn.Module):
    def __init__(self, order: int, symbols: int) -> None:
        super().__init__()
        self.order, self.symbols = order, symbols
        self.logits = nn.Buffer(2 * torch.randn(symbols**order, symbols))

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time symbols"]:
        last = F.pad(tokens, (self.order - 1, 0)).unfold(1, self.order, 1)
        row = (last * self.symbols ** torch.arange(self.order, device=tokens.device)).sum(-1)
        logits: Tensor = self.logits[row]
        return logits


def markov(order: int, symbols: int = 4) -> SequenceModel:
    """A random prediction for each of the possible last `order` symbols; before the start, 0.

    Its effective length is `order`.
    """
    return SequenceModel(_Markov(order, symbols), vocab_size=symbols)


class _Attention(nn.Module):
    """Causal attention with equal weights on the last `window` positions (all, if None)."""

    def __init__(self, window: int | None, residual: bool) -> None:
        super().__init__()
        self.window, self.residual = window, residual

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        nothing = torch.zeros_like(x)
        seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        if self.window is not None:
            seen = seen.triu(1 - self.window)
        mixed = F.scaled_dot_product_attention(nothing, nothing, x, attn_mask=seen)
        return x + mixed if self.residual else mixed


def _attention(layers: int, window: int | None, residual: bool, symbols: int) -> SequenceModel:
    blocks = nn.Sequential(*(_Attention(window, residual) for _ in range(layers)))
    head = nn.Linear(symbols, symbols)
    return SequenceModel(Stack(nn.Embedding(symbols, symbols), blocks, head))


def uniform_attention(layers: int = 1, symbols: int = 8) -> SequenceModel:
    """Each layer averages all positions so far: with one layer, a flat gradient and one hop."""
    return _attention(layers, None, residual=False, symbols=symbols)


def window_attention(window: int, layers: int = 1, symbols: int = 8) -> SequenceModel:
    """Each layer sees `window` positions: reach ends exactly at layers * (window - 1)."""
    return _attention(layers, window, residual=True, symbols=symbols)


class _Content(nn.Module):
    """Causal attention by content alone, with random weights, beside what was there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (
            nn.Parameter(torch.randn(width, width) / width**0.5) for _ in range(3)
        )

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        query, key, value = x @ self.query, x @ self.key, x @ self.value
        return x + F.scaled_dot_product_attention(query, key, value, is_causal=True)


def content_attention(layers: int = 1, symbols: int = 8, width: int = 16) -> SequenceModel:
    """Attention that is not told positions.

    One layer takes the past as a set: no order of earlier tokens changes the output. In two
    layers the earlier states depend on what came before them.
    """
    blocks = nn.Sequential(*(_Content(width) for _ in range(layers)))
    return SequenceModel(Stack(nn.Embedding(symbols, width), blocks, nn.Linear(width, symbols)))
