"""What a model makes of a batch when something in it is changed.

What comes before a change stays as it was: where that can be done exactly, only the rest is run
again (see `continuation.py`).
"""

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.contracts import Pieces, Read
from seqprobe.models.continuation import Continuation, FullRun
from seqprobe.models.sequence_model import SequenceModel

T = TypeVar("T")
TOGETHER = 1 << 24
"""Numbers in the outputs of the rows that are run at once."""


class Interventions:
    """Reruns of pieces of one batch of inputs, (batch, time) or (batch, time, features)."""

    def __init__(self, model: SequenceModel, inputs: Tensor) -> None:
        self.model, self.inputs = model, inputs
        self._done: dict[Hashable, Any] = {}

    @cached_property
    def plain(self) -> Float[Tensor, "batch time classes"]:
        """The outputs of the batch as it is."""
        return self.model(self.inputs)

    def once(self, key: Hashable, work: Callable[[], T]) -> T:
        """What `work` gives; done once for all probes that ask with the same key."""
        if key not in self._done:
            self._done[key] = work()
        return cast(T, self._done[key])

    @torch.no_grad()
    def continued(
        self, pieces: Pieces, read: Read, *, last: int | None = None
    ) -> Float[Tensor, "rows read measures"]:
        """The pieces, read after the first `starts` steps of their sequences as they are."""
        return self._read(self._continuation.outputs, pieces, read, last)

    @torch.no_grad()
    def fresh(
        self, pieces: Pieces, read: Read, *, last: int | None = None
    ) -> Float[Tensor, "rows read measures"]:
        """The pieces alone: nothing was read before them."""
        return self._read(lambda few: self.model(few.inputs), pieces, read, last)

    @cached_property
    def _continuation(self) -> Continuation:
        return FullRun(self.model, self.inputs)

    def _read(
        self, run: Callable[[Pieces], Tensor], pieces: Pieces, read: Read, last: int | None
    ) -> Tensor:
        """All rows, a few at a time; rows that begin near each other go together."""
        steps = pieces.inputs.shape[1]
        first = steps - min(last or steps, steps)
        order, found = pieces.starts.argsort(stable=True), []
        for few in order.split(self._at_once(steps)):
            part = _chosen(pieces, few)
            at = part.starts[:, None] + torch.arange(first, steps, device=part.starts.device)
            inside = at < self.inputs.shape[1]
            outputs = run(part)[:, first:]
            measured = read(outputs, part.sequences, at.clamp(max=self.inputs.shape[1] - 1))
            found.append(measured.where(inside[..., None], torch.nan))
        return torch.cat(found)[order.argsort()]

    def _at_once(self, steps: int) -> int:
        return max(TOGETHER // (steps * self.plain.shape[-1]), 1)


def _chosen(pieces: Pieces, few: Int[Tensor, " few"]) -> Pieces:
    return Pieces(pieces.sequences[few], pieces.starts[few], pieces.inputs[few])
