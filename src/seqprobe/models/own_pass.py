"""One forward of a training loop, and the backward that came back through it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.contracts import Observation, RecurrentLayer
from seqprobe.models.loop_sites import LoopSite

Norms = Float[Tensor, "batch steps"]


def norms(vectors: Float[Tensor, "batch steps width"]) -> Norms:
    """By double precision: in single, squares of gradients from far away are zero."""
    lengths: Tensor = torch.linalg.vector_norm(vectors.detach(), dim=-1, dtype=torch.float64)
    return lengths.float()


@dataclass(eq=False)
class Call:
    """One call of a module: norms of what it gave, and of the gradient that came back to it."""

    site: LoopSite
    state: Norms
    gradient: Norms | None = None

    @property
    def gradient_or_zero(self) -> Norms:
        """Where nothing came back, the loss does not depend on it."""
        return torch.zeros_like(self.state) if self.gradient is None else self.gradient


@dataclass(eq=False)
class OwnPass:
    """What is kept of a pass: norms, inputs, the gates of one sequence.

    `scale` is what the gradients were multiplied by; `began` says that the backward did.
    """

    inputs: list[Tensor] = field(default_factory=list)
    calls: dict[str, list[Call]] = field(default_factory=dict)
    layers: dict[str, RecurrentLayer] = field(default_factory=dict)
    heads: Mapping[str, np.ndarray] = field(default_factory=dict)
    unseen: dict[str, str] = field(default_factory=dict)
    scale: float = 1.0
    began: bool = False

    def call(self, site: LoopSite, tensor: Tensor) -> Call:
        """One more call of a site."""
        call = Call(site, norms(site.per_step(tensor)))
        self.calls.setdefault(site.name, []).append(call)
        return call

    def observation(self, first: int) -> Observation:
        """All of it on the CPU; sequences are numbered from `first` on."""
        inputs = torch.cat(self.inputs, dim=1)
        batch, time = inputs.shape[:2]
        states, gradients = {}, {}
        for site, calls in self.calls.items():
            state = torch.cat([call.state for call in calls], dim=1)
            if state.shape != (batch, time):
                self.unseen[site] = f"gave {tuple(state.shape)} states, not {(batch, time)}"
                continue
            states[site] = state.cpu()
            if any(call.gradient is not None for call in calls):
                found = torch.cat([call.gradient_or_zero for call in calls], dim=1)
                gradients[site] = found.cpu() / self.scale
        return Observation(
            sequences=range(first, first + batch),
            inputs=inputs,
            outputs=torch.empty(batch, time, 0),
            state_norms=states,
            loss_gradients=gradients,
            layers=self.layers,
            heads=self.heads,
            unseen=self.unseen,
        )
