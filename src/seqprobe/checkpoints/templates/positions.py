"""What tells an attention model where a token stands."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqprobe.checkpoints.templates.choices import one_of

Hidden = Float[Tensor, "batch time width"]


class Positions(nn.Module):
    """Add a vector per position: from a `table`, `sinusoidal` ones, or `none`.

    A table has one vector per position, perhaps with an axis for the batch; it is a parameter if
    it was learned.

    Raises:
        UsageError: no such kind.
    """

    def __init__(
        self, width: int, kind: str, shape: Sequence[int] | None = None, *, learned: bool = False
    ) -> None:
        super().__init__()
        self.width, self.kind = width, one_of("positions", kind, ("table", "sinusoidal", "none"))
        if kind == "table":
            table = torch.zeros(*(shape or (0, width)))
            self.table = nn.Parameter(table) if learned else nn.Buffer(table)

    def forward(self, x: Hidden) -> Hidden:
        if self.kind == "none":
            return x
        if self.kind == "sinusoidal":
            return x + sinusoids(x.shape[1], self.width).to(x)
        table = self.table.reshape(-1, self.width)
        if x.shape[1] > len(table):
            raise IndexError(
                f"sequence of {x.shape[1]} tokens exceeds the table of {len(table)} positions"
            )
        return x + table[: x.shape[1]]

    def extra_repr(self) -> str:
        return self.kind


def sinusoids(time: int, width: int) -> Float[Tensor, "time width"]:
    """Sine and cosine in turn, of wavelengths from 2 pi to 10,000 times that.

    Attention Is All You Need (Vaswani et al., 2017), computed in single precision as tutorials do.
    """
    steps = torch.arange(time, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(1e4) / width))
    waves = torch.stack([(steps * rates).sin(), (steps * rates).cos()], dim=-1)
    return waves.flatten(1)[:, :width]
