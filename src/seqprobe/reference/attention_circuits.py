"""Attention with a known answer: induction built by hand, and weights that fade by a law."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import CausalSelfAttention
from seqprobe.reference.zoo import Stack

SHARP = 1e3


class AttentionOnlyLM(nn.Module):
    """Learned positions up to `context`, layers of attention on a residual stream, and a head.

    No other layers and no normalisation: A mathematical framework for transformer circuits
    (Elhage et al., 2021).
    """

    def __init__(self, vocab_size: int, width: int, layers: int, heads: int, context: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.position = nn.Embedding(context, width)
        self.layers = nn.ModuleList(CausalSelfAttention(width, heads) for _ in range(layers))
        self.head = nn.Linear(width, vocab_size)

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.embedding(tokens) + self.position(places)
        for layer in self.layers:
            x = x + layer(x)
        logits: Tensor = self.head(x)
        return logits


def induction_circuit(symbols: int = 64, context: int = 128) -> SequenceModel:
    """Two heads, set by hand, that go on with what followed the present token the last time.

    The first one looks at the previous token and notes it; the second one looks where the noted
    token is the present one, and copies the token there. In a sequence of different tokens that
    repeats after p steps, it gives all its weight to the right key, but for the first token of
    the second copy: the first position notes itself, so that this one is shared by two.
    """
    width = 3 * symbols + context
    model = AttentionOnlyLM(symbols, width, layers=2, heads=1, context=context)
    token, noted, copied = (torch.eye(width)[i * symbols : (i + 1) * symbols] for i in range(3))
    place = torch.eye(width)[3 * symbols :]
    for parameter in model.parameters():
        nn.init.zeros_(parameter.requires_grad_(False))
    model.embedding.weight.copy_(token)
    model.position.weight.copy_(place)
    previous, matching = (layer for layer in model.layers if isinstance(layer, CausalSelfAttention))
    _set(previous, query=place[:-1].T @ place[1:], key=place.T @ place, moved=noted.T @ token)
    _set(matching, query=token.T @ token, key=token.T @ noted, moved=copied.T @ token)
    model.head.weight.copy_(copied)
    return SequenceModel(model)


def _set(layer: CausalSelfAttention, query: Tensor, key: Tensor, moved: Tensor) -> None:
    """One head by three matrices; what is moved is added to the stream as it is."""
    layer.query_key_value.weight.copy_(torch.cat([SHARP * query, key, moved]))
    nn.init.eye_(layer.output.weight)


class _Fading(nn.Module):
    """Causal heads whose scores are their distance times a slope, whatever the tokens are."""

    def __init__(self, slopes: tuple[float, ...]) -> None:
        super().__init__()
        self.slopes = slopes

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        steps = torch.arange(x.shape[1], device=x.device)
        away = steps[:, None] - steps
        scores = -torch.tensor(self.slopes).to(x)[:, None, None] * away
        value = x.unflatten(-1, (len(self.slopes), -1)).transpose(1, 2)
        nothing = torch.zeros_like(value)
        mask = scores.masked_fill(away < 0, -math.inf)
        mixed = F.scaled_dot_product_attention(nothing, nothing, value, attn_mask=mask)
        return mixed.transpose(1, 2).flatten(-2)


def fading_attention(slopes: tuple[float, ...], symbols: int = 8) -> SequenceModel:
    """A key k steps back gets r^k times the weight of the present one, r = e^-slope.

    Far from the start the mean distance is r / (1 - r) and the entropy
    -ln(1 - r) - r / (1 - r) ln r nats.

    Train short, test long (Press et al., 2022), with queries and keys that are zero.
    """
    width = symbols * len(slopes)
    stack = Stack(nn.Embedding(symbols, width), _Fading(slopes), nn.Linear(width, symbols))
    return SequenceModel(stack)
