"""Lyapunov exponents: how fast small changes of a state grow or fade, one rate per direction.

Lyapunov characteristic exponents for smooth dynamical systems (Benettin et al., 1980); for
recurrent networks, On Lyapunov Exponents for RNNs (Vogt et al., 2022). The Jacobian of a step
acts on the tangents that the step before left behind, so the product has the order of time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

Push = Callable[[Tensor, int], Tensor]
"""Tangents (batch, exponents, state) before a step -> after it; each row is one tangent."""

_ROUNDING = 64  # units of rounding that a push and a QR leave in an annihilated direction


@dataclass(frozen=True)
class Lyapunov:
    """Nats per step after burn-in; -inf where a direction is annihilated.

    `running` is the mean since burn-in at each checkpoint: it shows whether it has converged.
    """

    exponents: Float64[Tensor, "batch exponents"]
    running: Float64[Tensor, "checkpoints batch exponents"]
    steps: tuple[int, ...]


def lyapunov_exponents(
    push: Push,
    tangents: Float[Tensor, "batch exponents state"],
    steps: int,
    *,
    burn_in: int,
    every: int = 4,
) -> Lyapunov:
    """Mean growth of orthonormal tangents, made orthonormal again `every` so many steps.

    Growth during burn-in does not count. What falls below the rounding of the largest growth
    within `every` steps counts as annihilated; fewer steps, or double precision, resolve more.
    """
    if not 0 <= burn_in < steps:
        raise ValueError(f"burn_in is {burn_in}; it leaves nothing to count of {steps} steps")
    total = torch.zeros(tangents.shape[:2], dtype=torch.float64, device=tangents.device)
    counted, running = [], []
    for step in range(steps):
        tangents = push(tangents, step)
        since = step + 1 - burn_in
        if since % every and step + 1 < steps:
            continue
        tangents, log_growth = _orthonormalised(tangents)
        if since > 0:
            total = total + log_growth
            counted.append(since)
            running.append(total / since)
    return Lyapunov(running[-1], torch.stack(running), tuple(counted))


def orthonormal(
    batch: int,
    exponents: int,
    state: int,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "batch exponents state"]:
    """Random orthonormal rows to start from, the same on every device."""
    if exponents > state:
        raise ValueError(f"a state of {state} has no {exponents} exponents")
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randn(batch, state, exponents, generator=generator, dtype=torch.float64)
    rows: Tensor = torch.linalg.qr(columns).Q.mT.contiguous()
    return rows.to(device, dtype)


def _orthonormalised(
    tangents: Float[Tensor, "batch exponents state"],
) -> tuple[Float[Tensor, "batch exponents state"], Float64[Tensor, "batch exponents"]]:
    """The tangents made orthonormal, and the logarithm of what each has gained: R's diagonal."""
    q, r = torch.linalg.qr(tangents.mT)
    growth = r.diagonal(dim1=-2, dim2=-1).abs()
    largest = r.norm(dim=-2).amax(-1, keepdim=True)
    rounding = _ROUNDING * torch.finfo(r.dtype).eps * largest
    growth = torch.where(growth <= rounding, 0, growth)
    return q.mT.contiguous(), growth.double().log()
