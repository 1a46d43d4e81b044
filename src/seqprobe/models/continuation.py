"""How pieces of a batch are read after what came before them."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.contracts import Pieces
from seqprobe.models.sequence_model import SequenceModel


class Continuation(ABC):
    """Keeps of one batch whatever it needs to read on from any step."""

    def __init__(self, model: SequenceModel, inputs: Tensor) -> None:
        self.model, self.inputs = model, inputs

    @abstractmethod
    def outputs(self, pieces: Pieces) -> Float[Tensor, "rows steps classes"]:
        """At every step of the pieces; anything where they hang over the end."""


class FullRun(Continuation):
    """Everything is read again from the start: right for any model."""

    def outputs(self, pieces: Pieces) -> Float[Tensor, "rows steps classes"]:
        edited, at = inserted(self.inputs, pieces)
        rows = torch.arange(len(edited), device=edited.device)[:, None]
        return self.model(edited)[rows, at]


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
