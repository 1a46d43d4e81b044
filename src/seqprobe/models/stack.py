"""Stacked recurrences as one map from the whole state of a step to that of the next."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.models.cells import State
from seqprobe.models.recurrence import LayerRun


class Stack:
    """Layers that run forward, each on the hidden states of the one before it.

    The whole state lies side by side: hidden and cell state of the first layer, of the second, ...
    """

    def __init__(self, runs: Sequence[LayerRun]) -> None:
        self._layers = [run.linear for run in runs]
        self._widths = [[part.shape[-1] for part in run.states] for run in runs]

    @property
    def width(self) -> int:
        """Numbers in a state."""
        return sum(sum(widths) for widths in self._widths)

    @torch.no_grad()
    def push(
        self, tangents: Float[Tensor, "batch vectors state"], step: int
    ) -> Float[Tensor, "batch vectors state"]:
        """From tangents at the state before a step to tangents at the state after it."""
        pushed: list[Tensor] = []
        driven: Tensor | None = None
        every_sequence = step, slice(None), None
        for layer, state in zip(self._layers, self._states(tangents), strict=True):
            after = layer.push(every_sequence, state, driven)
            driven = after[0]
            pushed += after
        return torch.cat(pushed, dim=-1)

    @torch.no_grad()
    def jacobians(self, steps: slice, sample: int) -> Float[Tensor, "steps state state"]:
        """D state / d state before, of one sequence at several steps."""
        whole: Tensor | None = None
        hidden: Tensor | None = None
        start = 0
        for layer, widths in zip(self._layers, self._widths, strict=True):
            own, driven = layer.jacobian((steps, sample))
            if whole is None:
                whole = own.new_zeros(len(own), self.width, self.width)
            stop = start + sum(widths)
            whole[:, start:stop, start:stop] = own
            if hidden is not None:  # through the layers below; none depends on those above it
                torch.matmul(driven, hidden, out=whole[:, start:stop, :start])
            hidden = whole[:, start : start + widths[0], :stop]
            start = stop
        assert whole is not None
        return whole

    def _states(self, joined: Tensor) -> Iterator[State]:
        for layer, widths in zip(
            joined.split([sum(w) for w in self._widths], dim=-1), self._widths, strict=True
        ):
            yield layer.split(widths, dim=-1)
