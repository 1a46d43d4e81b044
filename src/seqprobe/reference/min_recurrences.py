"""Gated recurrences whose gates read the input alone, so that they can be run as a scan.

Were RNNs all we needed? (Feng et al., 2024).
"""

import math
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.linear_recurrences import FORMS
from seqprobe.reference.zoo import Stack

MinKind = Literal["mingru", "minlstm"]
MinForm = Literal["steps", "scan"]
Read = Float[Tensor, "batch time width"]
Hidden = Float[Tensor, "batch time hidden"]


class MinGRU(nn.Module):
    """h(t) = (1 - z) h(t - 1) + z v, where the gate z and the new value v read x(t)."""

    def __init__(self, width: int, hidden: int, form: MinForm) -> None:
        super().__init__()
        self.gate, self.value = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.form: MinForm = form

    def forward(self, x: Read) -> Hidden:
        new = self.gate(x).sigmoid()
        return FORMS[self.form](1 - new, new * self.value(x))


class MinLSTM(nn.Module):
    """h(t) = f h(t - 1) + i v, where forget and input gate are divided by their sum."""

    def __init__(self, width: int, hidden: int, form: MinForm) -> None:
        super().__init__()
        self.forget, self.input, self.value = (nn.Linear(width, hidden) for _ in range(3))
        self.form: MinForm = form

    def forward(self, x: Read) -> Hidden:
        keep, new = self.forget(x).sigmoid(), self.input(x).sigmoid()
        return FORMS[self.form](keep / (keep + new), new / (keep + new) * self.value(x))


MINIMAL: dict[MinKind, type[MinGRU | MinLSTM]] = {"mingru": MinGRU, "minlstm": MinLSTM}


class MinLM(nn.Module):
    """Embedding, layers of one kind on a residual stream, and a linear head."""

    def __init__(
        self, kind: MinKind, vocab_size: int, width: int, layers: int, form: MinForm = "scan"
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.layers = nn.ModuleList(MINIMAL[kind](width, width, form) for _ in range(layers))
        self.head = nn.Linear(width, vocab_size)

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = x + layer(x)
        logits: Tensor = self.head(x)
        return logits


def constant_gate(
    kind: MinKind, b: float, form: MinForm = "scan", symbols: int = 8, width: int = 4
) -> SequenceModel:
    """Gates that read nothing: the gradient is `constant_gate_factor`^k."""
    memory = MINIMAL[kind](width, width, form)
    for name, parameter in memory.named_parameters():
        if not name.startswith("value"):
            nn.init.zeros_(parameter)
    decides = memory.gate if isinstance(memory, MinGRU) else memory.forget
    nn.init.constant_(decides.bias, b)
    stack = Stack(nn.Embedding(symbols, width), memory, nn.Linear(width, symbols))
    return SequenceModel(stack, sites=["memory"])


def constant_gate_factor(kind: MinKind, b: float) -> float:
    """What is kept per step: sigmoid(-b); or f / (f + 1/2) with the forget gate f = sigmoid(b)."""
    sigmoid = 1 / (1 + math.exp(-b))
    return 1 - sigmoid if kind == "mingru" else sigmoid / (sigmoid + 0.5)
