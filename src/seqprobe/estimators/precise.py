"""The precision in which things are measured."""

import torch
from jaxtyping import Float
from torch import Tensor


def precise(numbers: Float[Tensor, "*some"]) -> Float[Tensor, "*some"]:
    """At least in single precision."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))
