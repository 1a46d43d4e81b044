"""The gates of a recurrence in a training loop, which fused kernels hide."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqprobe.models.cells import Cell
from seqprobe.models.recurrence import LayerRun, unrolled


@dataclass(frozen=True)
class OwnGates:
    """See `RecurrentLayer`; the weights are those of the moment in which they are read."""

    cell: Cell
    hidden: int
    retention: Float[Tensor, "time batch hidden"] | None

    @property
    def candidate_weight(self) -> Float[Tensor, "hidden hidden"]:
        return self.cell.candidate_weight

    @property
    def forget_bias(self) -> Float[Tensor, " hidden"] | None:
        return self.cell.forget_bias


def own_gates(path: str, rnn: nn.RNNBase, input: Tensor, hx: Any = None) -> dict[str, OwnGates]:
    """Of the first sequence, by the names of the layers, without dropout between them."""
    runs: list[LayerRun] = []
    weights = rnn.all_weights[0][0]
    one = (input[:1] if rnn.batch_first else input[:, :1]).detach().to(weights)
    with torch.no_grad(), torch.autocast(one.device.type, enabled=False):
        unrolled(rnn, one, _first(hx, weights), runs.append)
        return {f"{path}.{run.name}" if path else run.name: _gates(run) for run in runs}


def _gates(run: LayerRun) -> OwnGates:
    """Nothing else of the run is kept."""
    retention = run.retention
    return OwnGates(run.cell, run.hidden, None if retention is None else retention.clone())


def _first(hx: Any, like: Tensor) -> Any:
    if isinstance(hx, tuple):
        return tuple(_first(part, like) for part in hx)
    return None if hx is None else hx[:, :1].detach().to(like)
