"""What weights of attention say: how spread they are, how far they reach, and where they pile up.

Weights come as blocks of rows, so that no matrix of all queries and keys is ever kept.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from seqprobe.contracts import AttentionRows

BLOCK, LARGEST = 64, 1 << 24
"""Rows that are read at once, and how many weights at most."""

Rows = Int[Tensor, " rows"]


class HeadStatistics(NamedTuple):
    """Means over the queries of every sequence, and shares of the weights by distance.

    `entropy_ratio` is the entropy of a row relative to that of equal weights on all keys that it
    may see, and `distance` is in steps. `first` is the weight of the first key, `first_by_norm`
    the same when weights are multiplied with the lengths of the values. `shares` are means over
    heads, in bins of distance. `error` is the largest one of a row's sum, `ahead` the largest
    weight on later keys.

    Attention is not only a weight (Kobayashi et al., 2020); When attention sink emerges in
    language models (Gu et al., 2024).
    """

    entropy_ratio: Float[Tensor, "batch heads"]
    distance: Float[Tensor, "batch heads"]
    first: Float[Tensor, "batch heads"]
    first_by_norm: Float[Tensor, "batch heads"]
    shares: Float[Tensor, "batch bins"]
    error: Float[Tensor, "batch heads"]
    ahead: Float[Tensor, "batch heads"]


class _Block(NamedTuple):
    """The same of single rows, which come last; `entropy` in nats, `total` the sum of a row."""

    entropy: Float[Tensor, "batch heads rows"]
    distance: Float[Tensor, "batch heads rows"]
    first: Float[Tensor, "batch heads rows"]
    first_by_norm: Float[Tensor, "batch heads rows"]
    shares: Float[Tensor, "batch bins rows"]
    total: Float[Tensor, "batch heads rows"]
    ahead: Float[Tensor, "batch heads rows"]


def head_statistics(
    read: Callable[[Rows], AttentionRows],
    rows: Rows,
    norms: Float[Tensor, "batch heads keys"],
    edges: Int[Tensor, " bins"],
) -> HeadStatistics:
    """Of one call of attention, some of its queries, a few at a time.

    Bin i holds the distances from `edges[i]` up to the next edge. Rows whose weights do not sum
    to one are taken relative to their sum; those without any weight are left out. Where no query
    gives weight to a later key, none is taken to see it.
    """
    at_once = min(max(LARGEST // norms.numel(), 1), BLOCK)
    blocks = [_block(read(some), some, norms, edges) for some in rows.split(at_once)]
    all_ = _Block(*(torch.cat(parts, dim=-1) for parts in zip(*blocks, strict=True)))
    seen = torch.full_like(rows, norms.shape[-1]) if all_.ahead.any() else rows + 1
    ratio = (all_.entropy / seen.to(norms).log()).where(seen > 1, torch.nan)
    return HeadStatistics(
        entropy_ratio=ratio.nanmean(-1),
        distance=all_.distance.nanmean(-1),
        first=all_.first.nanmean(-1),
        first_by_norm=all_.first_by_norm.nanmean(-1),
        shares=all_.shares.nanmean(-1),
        error=(all_.total - 1).abs().where(all_.total > 0, 0.0).amax(-1),
        ahead=all_.ahead.amax(-1),
    )


def _block(found: AttentionRows, rows: Rows, norms: Tensor, edges: Tensor) -> _Block:
    weights, keys = found.weights, torch.arange(found.weights.shape[-1], device=rows.device)
    away = (rows[:, None] - keys).abs()
    total, by_norm = weights.sum(-1), norms[..., None, : len(keys)]
    return _Block(
        entropy=_entropy(found, total),
        distance=torch.linalg.vecdot(weights, away.to(weights)) / total,
        first=weights[..., 0] / total,
        first_by_norm=weights[..., 0] * by_norm[..., 0] / torch.linalg.vecdot(weights, by_norm),
        shares=_binned(weights, away, edges) / total.sum(1).unsqueeze(1),
        total=total,
        ahead=_ahead(weights, rows, keys),
    )


def _entropy(found: AttentionRows, total: Tensor) -> Tensor:
    """Without a logarithm of every weight: it is the score less a constant of the row."""
    weights, scores = found
    constant = scores.amax(-1) - weights.amax(-1).log()
    entropy: Tensor = total.log() + constant - torch.linalg.vecdot(weights, scores) / total
    return entropy


def _binned(weights: Tensor, away: Tensor, edges: Tensor) -> Tensor:
    """Weights by distance, summed over heads; exactly zero in a bin where all of them are."""
    index = torch.searchsorted(edges, away.T.contiguous(), right=True) - 1
    summed = weights.sum(1).transpose(1, 2)
    empty = summed.new_zeros(len(summed), len(edges), summed.shape[2])
    return empty.scatter_add_(1, index.expand_as(summed), summed)


def _ahead(weights: Tensor, rows: Rows, keys: Tensor) -> Tensor:
    """The largest weight on a key after the query."""
    first = int(rows.min()) + 1
    later = weights[..., first:] * (keys[first:] > rows[:, None])
    return later.amax(-1) if later.shape[-1] else torch.zeros_like(weights[..., 0])


def spread_rows(time: int, most: int | None) -> Rows:
    """All queries, or so many of them, evenly spread."""
    if most is None or most >= time:
        return torch.arange(time)
    return ((torch.arange(most) + 0.5) * time / most).long()


class Uniform(NamedTuple):
    """What equal weights on all keys that a query may see would give."""

    first: float
    previous: float
    distance: float
    shares: Float64[np.ndarray, " bins"]


def uniform_attention(
    time: int, edges: Int[np.ndarray, " bins"], *, causal: bool, queries: int | None = None
) -> Uniform:
    """For all queries, or some; with causal weights the first key of all gets H_T / T of them."""
    steps = spread_rows(time, queries).numpy()
    weights = _uniform_weights(steps, time, causal=causal)
    behind = np.subtract.outer(steps, np.arange(time))
    bins = np.searchsorted(edges, np.abs(behind), side="right") - 1
    return Uniform(
        float(weights[:, 0].mean()),
        float(weights[behind == 1].mean()),
        float((weights * np.abs(behind)).sum(1).mean()),
        np.bincount(bins.ravel(), weights.ravel(), len(edges)) / len(steps),
    )


def _uniform_weights(steps: np.ndarray, time: int, *, causal: bool) -> np.ndarray:
    seen = np.arange(time) <= (steps[:, None] if causal else time)
    return np.broadcast_to(seen / seen.sum(-1, keepdims=True), (len(steps), time))


def uniform_rollout_distance(time: int, layers: int, *, causal: bool) -> float:
    """Mean distance of the rollout of layers with equal weights."""
    weights = torch.from_numpy(_uniform_weights(np.arange(time), time, causal=causal).copy())[None]
    return float(mean_distance(rolled_out([weights] * layers)).mean())


def mean_distance(weights: Float[Tensor, "batch time time"]) -> Float[Tensor, " batch"]:
    """Of keys from their queries, mean of all queries."""
    steps = torch.arange(weights.shape[-1], device=weights.device)
    return (weights * (steps[:, None] - steps).abs()).sum(-1).mean(-1)


def rolled_out(
    layers: Sequence[Float[Tensor, "batch time time"]], *, residual: bool = True
) -> Float[Tensor, "batch time time"]:
    """How much of each input is in each output when weights are multiplied layer by layer.

    With `residual` half of every layer passes by its attention.

    Quantifying attention flow in transformers (Abnar and Zuidema, 2020).
    """
    identity = torch.eye(layers[0].shape[-1]).to(layers[0])
    rolled = identity.expand_as(layers[0])
    for weights in layers:
        mixed = (weights + identity) if residual else weights
        rolled = mixed / mixed.sum(-1, keepdim=True) @ rolled
    return rolled
