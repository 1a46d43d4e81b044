"""Reading on from the states of stacked recurrences.

All rows go one step at a time, each from a step of its own; what a token contributes to the first
layer is computed once for all places where it stands.
"""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.contracts import Pieces
from seqprobe.errors import NotApplicable
from seqprobe.models.cells import State
from seqprobe.models.continuation import Continuation, Part, together
from seqprobe.models.recurrence import LayerRun, running
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.sweep import chained

ROWS = 512
STEPS = 32


class FromStates(Continuation):
    """For models in which only stacked `nn.RNN`, `nn.LSTM` or `nn.GRU`, all running forward, mix
    positions; whether it is one, only a comparison shows.
    """

    def __init__(self, model: SequenceModel, inputs: Tensor) -> None:
        super().__init__(model, inputs)
        observed = model.observe(inputs, gradients=False)
        if not chained(observed):
            raise NotApplicable("its recurrences are not stacked, or look ahead")
        self._cells = [run.cell for run in observed.layers.values()]
        self._before = [_before(run) for run in observed.layers.values()]
        paths = [name.rpartition("state_l")[0].removesuffix(".") for name in observed.layers]
        self._modules = {path: model.module.get_submodule(path) for path in paths}
        self._ends = [len(paths) - 1 - paths[::-1].index(path) for path in self._modules]

    def rows_at_once(self, steps: int, classes: int) -> int:  # noqa: ARG002
        return min(ROWS, together(self.inputs.device) // classes)

    def outputs(self, pieces: Pieces, first: int) -> Iterator[Part]:
        starts = pieces.starts, pieces.sequences
        before = [tuple(part[starts] for part in layer) for layer in self._before]
        hidden = self._read_on(pieces, before, first)
        for begin in range(first, self._steps(pieces), STEPS):
            states = next(hidden)
            rows, steps = states[0].shape[:2]
            inputs = pieces.inputs[:rows, begin : begin + steps]
            yield Part(begin, self._outputs(inputs, states))

    def _steps(self, pieces: Pieces) -> int:
        return min(pieces.inputs.shape[1], self.inputs.shape[1] - int(pieces.starts[0]))

    def _read_on(
        self, pieces: Pieces, states: list[State], first: int
    ) -> Iterator[list[Float[Tensor, "rows steps width"]]]:
        """Hidden states that leave the modules, from step `first` on; rows that end drop out."""
        lengths = (self.inputs.shape[1] - pieces.starts).flip(0).tolist()
        table, index = self._driven(pieces.inputs)

        def after(step: int) -> list[State]:
            live = len(lengths) - bisect_right(lengths, step)
            return self._step(states, table[index[:live, step]])

        for step in range(first):
            states = after(step)
        for begin in range(first, steps := self._steps(pieces), STEPS):
            block = []
            for step in range(begin, min(begin + STEPS, steps)):
                states = after(step)
                block.append([states[layer][0] for layer in self._ends])
            yield [_joined(list(layer)) for layer in zip(*block, strict=True)]

    def _step(self, states: list[State], drive: Float[Tensor, "rows gates"]) -> list[State]:
        """Of all layers, for the first rows: as many as are driven."""
        after: list[State] = []
        for cell, state in zip(self._cells, states, strict=True):
            drive = cell.driven(after[-1][0]) if after else drive
            live = tuple(part[: len(drive)] for part in state)
            after.append(cell.step(drive, live)[0])
        return after

    def _driven(self, inputs: Tensor) -> tuple[Tensor, Int[Tensor, "rows steps"]]:
        """What each different input contributes to the gates of the first layer, and where."""
        if self.model.features:
            where = torch.arange(inputs.shape[0] * inputs.shape[1], device=inputs.device)
            return self._cells[0].driven(inputs.flatten(0, 1)), where.view(inputs.shape[:2])
        tokens, index = inputs.unique(return_inverse=True)
        embedding = self.model.module.get_submodule(self.model.embedding or "")
        return self._cells[0].driven(embedding(tokens)), index

    def _outputs(self, inputs: Tensor, hidden: list[Tensor]) -> Tensor:
        """What the module makes of these hidden states."""
        with ExitStack() as stack:
            for rnn, said in zip(self._modules.values(), hidden, strict=True):
                assert isinstance(rnn, nn.RNNBase)
                stack.enter_context(_said(rnn, said))
            return self.model(inputs)


def _before(run: LayerRun) -> State:
    """The states before every step, and after the last one: (time + 1, batch, width)."""
    return tuple(
        torch.cat([first.unsqueeze(0), states])
        for first, states in zip(run.initial, run.states, strict=True)
    )


def _joined(steps: list[Float[Tensor, "_ width"]]) -> Float[Tensor, "rows steps width"]:
    """Side by side; zeros for rows that have dropped out."""
    rows = len(steps[0])
    if len(steps[-1]) == rows:
        return torch.stack(steps, dim=1)
    return torch.stack([F.pad(step, (0, 0, 0, rows - len(step))) for step in steps], dim=1)


def _said(
    rnn: nn.RNNBase, hidden: Float[Tensor, "rows steps width"]
) -> AbstractContextManager[None]:
    """Within this context `rnn` returns these hidden states, whatever it is given.

    Its final states are zeros: models make no use of them, or the comparison shows that they do.
    """
    layers, rows = rnn.num_layers, len(hidden)
    final = hidden.new_zeros(layers, rows, hidden.shape[-1])
    cell = hidden.new_zeros(layers, rows, rnn.hidden_size)
    output = hidden if rnn.batch_first else hidden.transpose(0, 1)

    def forward(*_: Any, **__: Any) -> tuple[Tensor, Any]:
        return output, (final, cell) if isinstance(rnn, nn.LSTM) else final

    return running(rnn, forward)
