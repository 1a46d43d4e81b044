"""Models broken on purpose, each in one way: what a diagnosis has to find."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import RecurrentLM
from seqprobe.reference.zoo import Stack

SYMBOLS, WIDTH, BATCH, RATE, CLIP = 8, 16, 64, 1e-2, 1.0


def forget_bias(bias: float, layers: int = 1) -> SequenceModel:
    """An LSTM whose forget gates are held by their bias: nearly shut at -3, stuck open at 20."""
    model = RecurrentLM("lstm", SYMBOLS, WIDTH, layers)
    for layer in range(layers):
        model.rnn.get_parameter(f"bias_ih_l{layer}").data[WIDTH : 2 * WIDTH] = bias
    return SequenceModel(model)


def recurrent_gain(gain: float, kind: Literal["relu", "tanh"] = "relu") -> SequenceModel:
    """Rectified units, each fed back to itself: the gradient is gain^k while they are active.

    Or units of tanh, fed back through a rotation: chaotic for a large gain.
    """
    memory = nn.RNN(WIDTH, WIDTH, batch_first=True, nonlinearity=kind)
    start = {"relu": nn.init.eye_, "tanh": nn.init.orthogonal_}[kind]
    start(memory.get_parameter("weight_hh_l0").data).mul_(gain)
    return _with_embedding(memory)


class _Restarting(nn.Module):
    """A GRU that begins anew every few steps."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.gru = every, nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        return torch.cat([self.gru(part)[0] for part in x.split(self.every, dim=1)], dim=1)


def restarting(every: int) -> SequenceModel:
    """The state is reset inside the sequence: nothing reaches further than `every` - 1 steps."""
    return _with_embedding(_Restarting(every))


class _HalfCarried(nn.Module):
    """An LSTM that hands on its hidden state, and not its cell state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.embedding, self.head = nn.Embedding(SYMBOLS, WIDTH), nn.Linear(WIDTH, SYMBOLS)

    def forward(
        self,
        tokens: Int[Tensor, "batch time"],
        state: Float[Tensor, "layer batch width"] | None = None,
    ) -> tuple[Float[Tensor, "batch time symbols"], Float[Tensor, "layer batch width"]]:
        both = None if state is None else (state, torch.zeros_like(state))
        outputs, (hidden, _) = self.lstm(self.embedding(tokens), both)
        return self.head(outputs), hidden


def half_carried() -> SequenceModel:
    """A part of the state is lost between calls: chunks are not one pass."""
    return SequenceModel(_HalfCarried())


class _Leaking(nn.Module):
    """A GRU that goes on where the last call ended."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.last: Tensor | None = None

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        fits = self.last is not None and self.last.shape[1] == len(x)
        hidden, last = self.gru(x, self.last if fits else None)
        self.last = last.detach()
        output: Tensor = hidden
        return output


def leaking() -> SequenceModel:
    """The state is not reset between calls."""
    return _with_embedding(_Leaking())


class _Bag(nn.Module):
    """Predicts each symbol as often as it has been seen, one time more: the order is lost."""

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time symbols"]:
        seen = F.one_hot(tokens, SYMBOLS).cumsum(1)
        return (seen + 1).double().log()


def bag() -> SequenceModel:
    """A Polya urn: the text that it writes is worth remembering, in any order."""
    return SequenceModel(_Bag(), vocab_size=SYMBOLS)


def learned_to_delay(width: int, steps: int, lag: int = 4) -> SequenceModel:
    """An LSTM trained to say each symbol again after `lag` steps; that takes 3 (lag + 1) bits.

    Draws from torch's generator. For a lag of 4, a width of 4 is too small; with 32 it learns to
    hold what it needs in 600 steps.
    """
    model = RecurrentLM("lstm", SYMBOLS, width, layers=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    for _ in range(steps):
        tokens = torch.randint(SYMBOLS, (BATCH, 5 * lag))
        said = model(tokens)[:, lag:].flatten(0, 1)
        optimizer.zero_grad()
        F.cross_entropy(said, tokens[:, :-lag].flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
    return SequenceModel(model)


def _with_embedding(memory: nn.Module) -> SequenceModel:
    stack = Stack(nn.Embedding(SYMBOLS, WIDTH), memory, nn.Linear(WIDTH, SYMBOLS))
    return SequenceModel(stack)
