"""Rotary positions: pairs of numbers turned by an angle that grows with the position.

RoFormer: Enhanced Transformer with Rotary Position Embedding (Su et al., 2021).
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor


def rotated(
    x: Float[Tensor, "batch heads time width"], steps: Float[Tensor, " pairs"]
) -> Float[Tensor, "batch heads time width"]:
    """Turn each number and its partner half a width later by (position x step) radians.

    Only the first 2 x pairs numbers of each head are turned. Angles are kept in single precision
    at least, for in half precision they would be far off at late positions.
    """
    positions = torch.arange(x.shape[2], device=x.device, dtype=steps.dtype)
    angles = torch.outer(positions, steps)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    one, other, rest = x.tensor_split((len(steps), 2 * len(steps)), dim=-1)
    return torch.cat((one * cos - other * sin, other * cos + one * sin, rest), dim=-1)


def steps_of(
    width: int, base: float, adjustments: Mapping[str, float] | None = None
) -> Float[Tensor, " pairs"]:
    """Radians per position of each pair, from 1 down to about 1 / base.

    Args:
        width: how many numbers of a head are turned; even.
        base: of the geometric series.
        adjustments: for longer texts. `factor` alone slows all pairs down by it; with
            `low_freq_factor`, `high_freq_factor` and `original_max_seq_len` only those pairs
            that turn slowly: The Llama 3 Herd of Models (Grattafiori et al., 2024).
    """
    steps = 1 / base ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    if not adjustments:
        return steps
    slow = steps / adjustments["factor"]
    if "low_freq_factor" not in adjustments:
        return slow
    low, high = adjustments["low_freq_factor"], adjustments["high_freq_factor"]
    turns = adjustments["original_max_seq_len"] * steps / (2 * math.pi)
    return torch.lerp(slow, steps, ((turns - low) / (high - low)).clamp(0, 1))
