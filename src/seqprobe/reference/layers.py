"""Single layers whose costs have a closed form; they read real-valued features."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.models.sequence_model import SequenceModel


def attention(width: int, heads: int, *, fused: bool) -> SequenceModel:
    """Self-attention alone: n (8 d^2 + 4 n d) FLOPs, and as a matrix or in a fused kernel.

    In single precision a training step keeps 4 n (5 d + h n) bytes as a matrix, and
    4 n (5 d + h) fused.
    """
    return SequenceModel(Attention(width, heads, fused), features=width)


def lstm_loop(width: int) -> SequenceModel:
    """`nn.LSTMCell` step by step: 16 n d^2 FLOPs, 8 d numbers kept per step, 2 d carried."""
    return SequenceModel(LSTMLoop(width), features=width)


class Attention(nn.Module):
    """Softmax over all positions, later ones too; no mask, no bias."""

    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mixed features (batch, time, width)."""
        parts = self.query_key_value(x).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return output


class LSTMLoop(nn.Module):
    """A cell called once per step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states (batch, time, width)."""
        hidden = cell = x.new_zeros(len(x), self.cell.hidden_size)
        states = []
        for step in x.unbind(1):
            hidden, cell = self.cell(step, (hidden, cell))
            states.append(hidden)
        return torch.stack(states, 1)
