"""Forecasters of real values with a known answer."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.zoo import Stack
from seqprobe.sequences.lagged import PHI


class _Register(nn.Module):
    """The last `depth` inputs side by side, the present one first; zeros before the start."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time state"]:
        time = x.shape[1]
        return torch.cat([F.pad(x, (0, 0, k, 0))[:, :time] for k in range(self.depth)], dim=-1)


def lag_forecaster(lag: int, features: int = 1, phi: float = PHI) -> SequenceModel:
    """The best forecast of `LaggedStream`, by a register of `lag` inputs: phi x_{t+1-lag} at t.

    It needs exactly `lag` steps, uses one value, `lag` - 1 steps back (see `lag_influence`), and
    the order of all of them. Its state holds the last `lag` inputs, to the last digit.
    """
    head = nn.Linear(lag * features, features, bias=False)
    nn.init.zeros_(head.weight)
    head.weight.data[:, -features:] = phi * torch.eye(features)
    return SequenceModel(
        Stack(nn.Identity(), _Register(lag), head), features=features, sites=["memory"]
    )


def lag_influence(phi: float = PHI, features: int = 1) -> float:
    """Bits of KL divergence when the value that matters is drawn anew from unit variance."""
    return features * phi**2 / ((1 - phi**2) * math.log(2))
