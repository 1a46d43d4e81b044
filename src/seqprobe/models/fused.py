"""Fused calls of attention: their weights, computed again from what they were given."""

import inspect
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from seqprobe.contracts import AttentionRows
from seqprobe.estimators.precise import precise

CHECKED_ROWS = 8
Rows = Int[Tensor, " rows"]


@dataclass(frozen=True)
class Fused:
    """What a call of `scaled_dot_product_attention` was given."""

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    is_causal: bool
    scale: float
    dropout: float

    @classmethod
    def of(
        cls,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> "Fused":
        if enable_gqa:
            groups = query.shape[-3] // key.shape[-3]
            key, value = (part.repeat_interleave(groups, dim=-3) for part in (key, value))
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        return cls(query, key, value, attn_mask, is_causal, scale, dropout_p)

    @property
    def lead(self) -> torch.Size:
        """Sizes of the axes before rows and keys."""
        parts = self.query, self.key, self.value
        return torch.Size(torch.broadcast_shapes(*(part.shape[:-2] for part in parts)))

    def rows(self, rows: Rows) -> AttentionRows:
        """Weights (.., rows, keys), and the scores that softmax makes them of."""
        last = int(rows.max()) + 1 if self.is_causal else self.key.shape[-2]
        query = (precise(self.query[..., rows, :]) * self.scale).expand(*self.lead, -1, -1)
        scores = query @ precise(self.key[..., :last, :]).transpose(-1, -2)
        lowest = torch.finfo(scores.dtype).min
        if self.is_causal:
            first = int(rows.min())
            ahead = torch.arange(first, last, device=rows.device) > rows[:, None]
            scores[..., first:].masked_fill_(ahead, lowest)
        if self.mask is None:
            return AttentionRows(scores.softmax(-1), scores)
        mask = self.mask if self.mask.shape[-2] == 1 else self.mask[..., rows, :]
        hidden = ~mask if mask.dtype == torch.bool else mask == -math.inf
        if mask.dtype != torch.bool:
            scores = scores + precise(mask)
        scores = scores.masked_fill(hidden, lowest)
        return AttentionRows(scores.softmax(-1) * ~hidden.all(-1, keepdim=True), scores)

    def norms(self) -> Float[Tensor, "*heads keys"]:
        """Lengths of the values."""
        lengths: Tensor = precise(self.value).norm(dim=-1)
        return lengths.expand(*self.lead, -1)

    def difference(self, output: Tensor) -> float:
        """Between a few rows of the output and these weights times the values."""
        time = self.query.shape[-2]
        some = torch.linspace(0, time - 1, min(CHECKED_ROWS, time), device=output.device).long()
        weights = self.rows(some).weights
        again = weights @ precise(self.value[..., : weights.shape[-1], :])
        return relative_difference(again, output[..., some, :])


def relative_difference(one: Tensor, other: Tensor) -> float:
    """The largest one, relative to the largest number of `other`."""
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-30))


Call = tuple[Tensor, tuple[Any, ...], dict[str, Any]]


def watched(func: Any, given: inspect.BoundArguments) -> tuple[Any, list[Call]]:
    """What a function of torch.nn.functional returns, and the fused calls that it makes.

    Of each call, what it returned and what it was given.
    """
    fused, calls = F.scaled_dot_product_attention, []

    def record(*args: Any, **kwargs: Any) -> Tensor:
        output: Tensor = fused(*args, **kwargs)
        calls.append((output, args, kwargs))
        return output

    F.scaled_dot_product_attention = record
    try:
        return func(*given.args, **given.kwargs), calls
    finally:
        F.scaled_dot_product_attention = fused
