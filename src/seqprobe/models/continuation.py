"""How pieces of a batch are read after what came before them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.contracts import Pieces
from seqprobe.models.device import free_bytes
from seqprobe.models.sequence_model import SequenceModel

TOGETHER, SHARE, BYTES = 1 << 24, 16, 12
"""Numbers in the outputs that are in memory at once; where it is short, a share of what is free.

There may be three copies in single precision.
"""


def together(device: torch.device) -> int:
    """So many numbers."""
    return min(TOGETHER, free_bytes(device) // (SHARE * BYTES))


class Part(NamedTuple):
    """Outputs at a few consecutive steps of pieces; rows that have ended by then are missing."""

    first: int
    outputs: Float[Tensor, "rows steps classes"]


class Continuation(ABC):
    """Keeps of one batch whatever it needs to read on from any step.

    `positions`: of all rows of one run.
    """

    positions = 1 << 15

    def __init__(self, model: SequenceModel, inputs: Tensor) -> None:
        self.model, self.inputs = model, inputs

    def rows_at_once(self, steps: int, classes: int) -> int:
        """How many pieces are best read together."""
        return min(self.positions, together(self.inputs.device) // classes) // steps

    @abstractmethod
    def outputs(self, pieces: Pieces, first: int) -> Iterator[Part]:
        """From step `first` of the pieces on; they come in the order of their starts.

        Anything where they hang over the end.
        """


class FullRun(Continuation):
    """Everything is read again from the start: right for any model."""

    def rows_at_once(self, steps: int, classes: int) -> int:  # noqa: ARG002
        return super().rows_at_once(self.inputs.shape[1], classes)

    def outputs(self, pieces: Pieces, first: int) -> Iterator[Part]:
        edited, at = inserted(self.inputs, pieces)
        rows = torch.arange(len(edited), device=edited.device)[:, None]
        yield Part(first, self.model(edited)[rows, at[:, first:]])


class Fresh(Continuation):
    """Nothing is read before the pieces."""

    def outputs(self, pieces: Pieces, first: int) -> Iterator[Part]:
        yield Part(first, self.model(pieces.inputs)[:, first:])


def inserted(inputs: Tensor, pieces: Pieces) -> tuple[Tensor, Tensor]:
    """The sequences of the pieces with these in their places, and the steps where they are.

    Steps beyond the end are named by the last one.
    """
    edited = inputs[pieces.sequences]
    steps = torch.arange(pieces.inputs.shape[1], device=inputs.device)
    at = pieces.starts[:, None] + steps
    inside = at < inputs.shape[1]
    rows = torch.arange(len(edited), device=inputs.device)[:, None].expand_as(at)
    edited[rows[inside], at[inside]] = pieces.inputs[inside]
    return edited, at.clamp(max=inputs.shape[1] - 1)
