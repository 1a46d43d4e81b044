"""Decoders of the GPT-2 family, with GPT-2's names."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.checkpoints.templates.choices import heads_of, one_of

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, "tanh"),
    "relu": nn.ReLU,
}


class GPT(nn.Module):
    """Learned positions and pre-norm blocks: Language Models are Unsupervised Multitask Learners
    (Radford et al., 2019).

    Args:
        vocab_size: how many tokens there are.
        n_positions: the longest input.
        n_embd: width of the residual stream.
        n_layer: how many blocks.
        n_head: heads in each block.
        n_inner: hidden units in each block; four times the width if not given.
        bias: whether linear maps and norms add one; the head never does.
        activation: of the hidden units; `gelu_tanh` is the approximation in GPT-2 itself.
        epsilon: of the norms.
        tied: the head is the embedding.

    Raises:
        UsageError: no such activation, or heads that do not divide the width.
    """

    def __init__(
        self,
        vocab_size: int,
        n_positions: int,
        n_embd: int,
        n_layer: int,
        n_head: int,
        n_inner: int | None = None,
        bias: bool = True,
        activation: str = "gelu_tanh",
        epsilon: float = 1e-5,
        tied: bool = True,
    ) -> None:
        super().__init__()
        inner = n_inner or 4 * n_embd
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(n_positions, n_embd)
        self.h = nn.ModuleList(
            Block(n_embd, n_head, inner, bias, activation, epsilon) for _ in range(n_layer)
        )
        self.ln_f = nn.LayerNorm(n_embd, epsilon, bias=bias)
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
        if tied:
            self.lm_head.weight = self.wte.weight

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        time, longest = tokens.shape[1], self.wpe.num_embeddings
        if time > longest:
            raise IndexError(f"sequence of {time} tokens exceeds the {longest} learned positions")
        x = self.wte(tokens) + self.wpe(torch.arange(time, device=tokens.device))
        for block in self.h:
            x = block(x)
        logits: Tensor = self.lm_head(self.ln_f(x))
        return logits


class Block(nn.Module):
    """Causal attention and a layer of hidden units, each added to the residual stream."""

    def __init__(
        self, width: int, heads: int, inner: int, bias: bool, activation: str, epsilon: float
    ) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, epsilon, bias=bias)
        self.attn = Attention(width, heads, bias)
        self.ln_2 = nn.LayerNorm(width, epsilon, bias=bias)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, inner, bias),
                activation=ACTIVATIONS[one_of("activation", activation, ACTIVATIONS)](),
                c_proj=nn.Linear(inner, width, bias),
            )
        )

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        x = x + self.attn(self.ln_1(x))
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Attention(nn.Module):
    """Queries, keys and values come from one linear map, in this order."""

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads_of("n_head", heads, width)
        self.c_attn = nn.Linear(width, 3 * width, bias)
        self.c_proj = nn.Linear(width, width, bias)

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.c_attn(x).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = self.c_proj(mixed.transpose(1, 2).flatten(-2))
        return out
