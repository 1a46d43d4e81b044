"""Stacks of causal convolutions, plain and dilated: how far they reach, and in how many hops."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.zoo import Stack

Hidden = Float[Tensor, "batch time width"]


class Causal(nn.Module):
    """A convolution that sees the present step and some before it, rectified or gated.

    An empirical evaluation of generic convolutional and recurrent networks for sequence modeling
    (Bai et al., 2018); WaveNet: a generative model for raw audio (van den Oord et al., 2016).
    """

    def __init__(
        self, width: int, kernel: int, dilation: int, *, gated: bool, residual: bool
    ) -> None:
        super().__init__()
        self.before = (kernel - 1) * dilation
        self.gated, self.residual = gated, residual
        self.conv = nn.Conv1d(width, 2 * width if gated else width, kernel, dilation=dilation)

    def forward(self, x: Hidden) -> Hidden:
        seen = self.conv(F.pad(x.mT, (self.before, 0))).mT
        if self.gated:
            value, gate = seen.chunk(2, dim=-1)
            seen = value.tanh() * gate.sigmoid()
        else:
            seen = F.leaky_relu(seen)
        out: Tensor = x + seen if self.residual else seen
        return out


def convolutions(
    kernel: int,
    dilations: Sequence[int],
    *,
    gated: bool = False,
    residual: bool = True,
    symbols: int = 8,
    width: int = 8,
) -> SequenceModel:
    """One layer for each dilation, on tokens: reach is (w - 1) times the sum of dilations d.

    Each layer moves by 0 to w - 1 times d, so that k steps take ceil(k / (w - 1)) hops where all d
    are 1; and where they are 1, w, w^2, .., as many as digits of k to base w are not zero.
    """
    layers = [Causal(width, kernel, d, gated=gated, residual=residual) for d in dilations]
    head = nn.Linear(width, symbols)
    return SequenceModel(Stack(nn.Embedding(symbols, width), nn.Sequential(*layers), head))
