"""What a model answers if its text ends at a step: pooling over the steps up to there."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqprobe.errors import UsageError

States = Float[Tensor, "batch time width"]


class Pooling(nn.Module):
    """Pool the outputs of the layers up to every step; the last step has read the text.

    | how | the answer at a step, from the outputs of the layer |
    |---|---|
    | none, last | those of the step itself |
    | first | those of the first step, as of a token put before the text |
    | final | both directions where each of them ends, forward first |
    | final_backward_first | the same, backward first |
    | mean, max | over the steps so far |

    With one direction all of them read the past only. With two, the forward half of a step ends
    there, but has read what lower bidirectional layers knew of the whole text; the backward half
    has read the text from its end back to the step, or for `final` to its beginning. The answer at
    the last step is that of the original model either way.

    Raises:
        UsageError: no such pooling.
    """

    def __init__(self, how: str, *, bidirectional: bool = False) -> None:
        super().__init__()
        if how not in POOLINGS:
            raise UsageError(
                f"unknown pooling {how!r}",
                expected=f"one of {', '.join(POOLINGS)}",
                do="Choose one of them with --set pooling=...",
            )
        self.how, self.bidirectional = how, bidirectional

    def forward(self, outputs: States) -> States:
        if self.how.startswith("final") and not self.bidirectional:
            return outputs
        return POOLINGS[self.how](outputs)

    def extra_repr(self) -> str:
        return self.how


def _unchanged(outputs: States) -> States:
    return outputs


def _final(outputs: States) -> States:
    forward, backward = outputs.chunk(2, dim=-1)
    return torch.cat([forward, backward[:, :1].expand_as(backward)], dim=-1)


def _final_backward_first(outputs: States) -> States:
    return _final(outputs).roll(outputs.shape[-1] // 2, dims=-1)


def _first(outputs: States) -> States:
    return outputs[:, :1].repeat(1, outputs.shape[1], 1)


def _mean(outputs: States) -> States:
    steps = torch.arange(1, outputs.shape[1] + 1, device=outputs.device)
    return outputs.cumsum(dim=1) / steps[:, None]


def _max(outputs: States) -> States:
    return outputs.cummax(dim=1).values


POOLINGS: Mapping[str, Callable[[States], States]] = {
    "none": _unchanged,
    "last": _unchanged,
    "first": _first,
    "final": _final,
    "final_backward_first": _final_backward_first,
    "mean": _mean,
    "max": _max,
}
