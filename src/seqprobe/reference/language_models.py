"""Small trainable language models by name, recurrent ones and attention; any parameter count."""

import math
from bisect import bisect_left
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.errors import UsageError
from seqprobe.reference.min_recurrences import MinLM

Kind = Literal["lstm", "gru", "rnn", "mingru", "minlstm", "attention"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class RecurrentLM(nn.Module):
    """Embedding, a stack of `nn.LSTM`, `nn.GRU` or `nn.RNN`, and a linear head."""

    def __init__(self, kind: Kind, vocab_size: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.rnn = RECURRENT[kind](width, width, layers, batch_first=True)
        self.head = nn.Linear(width, vocab_size)
        if kind == "lstm":
            self._open_forget_gates(width)

    def _open_forget_gates(self, width: int) -> None:
        """Forget bias 1: An Empirical Exploration of Recurrent Network Architectures
        (Jozefowicz et al., 2015). PyTorch adds two bias vectors; the other keeps its draw.
        """
        for name, bias in self.rnn.named_parameters():
            if name.startswith("bias_ih"):
                nn.init.ones_(bias[width : 2 * width])

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        hidden, _ = self.rnn(self.embedding(tokens))
        logits: Tensor = self.head(hidden)
        return logits


class CausalSelfAttention(nn.Module):
    """Multi-head causal attention through `scaled_dot_product_attention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(x).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = self.output(mixed.transpose(1, 2).flatten(-2))
        return out


class Block(nn.Module):
    """Pre-norm attention and a four-times-wider GELU layer, each on a residual stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = CausalSelfAttention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class AttentionLM(nn.Module):
    """A decoder-only Transformer with learned positions up to `context`."""

    def __init__(self, vocab_size: int, width: int, layers: int, heads: int, context: int) -> None:
        super().__init__()
        self.context = context
        self.embedding = nn.Embedding(vocab_size, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab_size)
        for table in (self.embedding, self.position):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        if tokens.shape[1] > self.context:
            raise IndexError(
                f"sequence of {tokens.shape[1]} tokens exceeds the {self.context} learned positions"
            )
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.embedding(tokens) + self.position(places)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


def build(
    kind: Kind,
    *,
    vocab_size: int = 256,
    width: int,
    layers: int,
    heads: int = 4,
    context: int = 256,
) -> nn.Module:
    """Build one of the trainable reference models by name."""
    if kind not in KINDS:
        raise UsageError(
            f"unknown reference model {kind!r}",
            expected=f"one of {', '.join(KINDS)}",
            do="Choose one of them.",
        )
    match kind:
        case "attention":
            return AttentionLM(vocab_size, width, layers, heads, context)
        case "mingru" | "minlstm":
            return MinLM(kind, vocab_size, width, layers)
        case _:
            return RecurrentLM(kind, vocab_size, width, layers)


def width_for(
    kind: Kind, parameters: int, *, vocab_size: int, layers: int, heads: int, context: int
) -> int:
    """The multiple of 8 that brings a model closest to a number of parameters."""

    def count(width: int) -> int:
        with torch.device("meta"):
            model = build(
                kind,
                vocab_size=vocab_size,
                width=width,
                layers=layers,
                heads=heads,
                context=context,
            )
        return sum(p.numel() for p in model.parameters())

    step = math.lcm(8, heads)
    widths = range(step, 1 << 14, step)
    above = min(bisect_left(widths, parameters, key=count), len(widths) - 1)
    near = widths[max(above - 1, 0) : above + 1]
    return min(near, key=lambda width: abs(count(width) - parameters))
