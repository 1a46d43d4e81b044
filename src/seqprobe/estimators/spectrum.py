"""Singular values of Jacobians and of their products, at any distance."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from seqprobe.estimators.lyapunov import Push

_LARGE = 1e12
_ROUNDING = 16  # in units of rounding: what stands above is known to a tenth


def effective_rank(singular_values: Float[Tensor, "*batch values"]) -> Float[Tensor, "*batch"]:
    """The exponential of the entropy of the normalised values; 0 if all of them are zero.

    The effective rank: a measure of effective dimensionality (Roy and Vetterli, 2007).
    """
    largest = singular_values.amax(-1, keepdim=True)
    values = singular_values / torch.where(largest > 0, largest, 1)
    share = values / values.sum(-1, keepdim=True).clamp(min=1)
    rank = torch.special.entr(share).sum(-1).exp()
    return torch.where(largest[..., 0] == 0, 0, rank)


def log_singular_values(
    matrices: Float[Tensor, "*batch rows columns"], log_scale: Float64[Tensor, "*batch"]
) -> Float64[Tensor, "*batch values"]:
    """Logarithms of the singular values of exp(log_scale) times each matrix, largest first.

    -inf for zero, and for values so far below the largest that they are made of rounding.
    """
    wide = torch.promote_types(matrices.dtype, torch.float32)  # there is none in half precision
    values = torch.linalg.svdvals(matrices.to(wide))
    resolved = max(_ROUNDING, *matrices.shape[-2:]) * torch.finfo(values.dtype).eps
    values = torch.where(values <= resolved * values[..., :1], 0, values)
    return values.double().log() + log_scale[..., None]


def product_singular_values(
    push: Push,
    state: int,
    steps: Sequence[int],
    *,
    batch: int = 1,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Float64[Tensor, "steps batch values"]:
    """Log singular values of the product of the first k Jacobians, for each k in ascending `steps`.

    Rows are tangents, so this is the transposed product: its singular values are the same. What
    is lost to rounding at one of the `steps` stays lost: if it grew again, rounding would grow.
    """
    if list(steps) != sorted(steps):
        raise ValueError(f"steps are {list(steps)}; they have to ascend")
    tangents = torch.eye(state, dtype=dtype, device=device).repeat(batch, 1, 1)
    log_scale = torch.zeros(batch, dtype=torch.float64, device=device)
    spectra = []
    for done, wanted in pairwise((0, *steps)):
        for step in range(done, wanted):
            tangents, log_factor = _rescaled(push(tangents, step))
            log_scale = log_scale + log_factor
        spectra.append(log_singular_values(tangents, log_scale))
    values = torch.stack(spectra)
    lost = values.isneginf().cumsum(0) > 0
    return values.masked_fill(lost, -math.inf)


def _rescaled(
    tangents: Float[Tensor, "batch rows state"],
) -> tuple[Float[Tensor, "batch rows state"], Float64[Tensor, " batch"]]:
    """Brought back near one where they are huge or tiny, and the logarithm of the factor."""
    largest = tangents.abs().amax((-2, -1))
    far = (largest > _LARGE) | ((largest < 1 / _LARGE) & (largest > 0))
    factor = torch.where(far, largest, 1)
    return tangents / factor[:, None, None], factor.double().log()
