"""Recurrent cells: one step forward, and the derivative of every step of a run.

Derivatives are written so that nothing cancels where a gate saturates: tanh' is cosh^-2.
Computed as 1 - tanh^2, as automatic differentiation does, it loses all digits there.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

State = tuple[Tensor, ...]
At = tuple[Any, ...]


@dataclass(frozen=True)
class Cell(ABC):
    """The weights of one layer in one direction; a state is (hidden,) or (hidden, cell)."""

    weight_ih: Float[Tensor, "gates features"]
    weight_hh: Float[Tensor, "gates recurred"]
    bias_ih: Float[Tensor, " gates"] | None = None
    bias_hh: Float[Tensor, " gates"] | None = None

    def driven(self, x: Float[Tensor, "*some features"]) -> Float[Tensor, "*some gates"]:
        """What the input contributes to the gates, and their biases."""
        return F.linear(x, self.weight_ih, self._bias())

    def _gates(
        self, drive: Float[Tensor, "*some gates"], hidden: Float[Tensor, "*some recurred"]
    ) -> Float[Tensor, "*some gates"]:
        """What the input and the last hidden state make of the gates; in place without a graph."""
        if torch.is_grad_enabled():
            return torch.addmm(drive, hidden, self.weight_hh.T)
        return drive.addmm_(hidden, self.weight_hh.T)

    @abstractmethod
    def step(self, drive: Tensor, state: State) -> tuple[State, Tensor]:
        """The next state, and the inner values that its derivative is made of.

        They may take the memory of `drive`.
        """

    @abstractmethod
    def along(self, states: State, before: State, inner: Tensor, /) -> "Linear":
        """The derivative at every step; all tensors are (time, batch, width).

        `before` are the states before each step.
        """

    @property
    @abstractmethod
    def candidate_weight(self) -> Float[Tensor, "hidden hidden"]:
        """From the last state to the new value, before any gate."""

    @property
    @abstractmethod
    def forget_bias(self) -> Float[Tensor, " hidden"] | None:
        """What the gate that keeps the state gets without any input; None without such a gate."""

    @abstractmethod
    def retention(
        self, inner: Float[Tensor, "*some inner"], /
    ) -> Float[Tensor, "*some hidden"] | None:
        """The gate that decides how much of the state is kept; None if there is none."""

    def _kernel(self) -> Float[Tensor, "gates both"]:
        return torch.cat([self.weight_hh, self.weight_ih], dim=1).detach()

    def _bias(self) -> Float[Tensor, " gates"]:
        """PyTorch has two bias vectors; what counts is their sum."""
        if self.bias_ih is None or self.bias_hh is None:
            return self.weight_hh.new_zeros(len(self.weight_hh))
        return self.bias_ih + self.bias_hh


@dataclass(frozen=True)
class Linear(ABC):
    """One layer linearised along a run.

    `kernel` holds the recurrent and the input weights side by side. `at` indexes (time, batch),
    as in (step, samples); what it selects broadcasts against the rows.
    """

    kernel: Float[Tensor, "gates both"]

    @abstractmethod
    def pull(self, at: At, adjoint: State) -> tuple[State, Tensor]:
        """From a gradient at the state after a step to those at the state before and the input."""

    @abstractmethod
    def push(self, at: At, tangent: State, driven: Tensor | None) -> State:
        """From tangents of the state before (and of the input) to the state after."""

    @abstractmethod
    def jacobian(self, at: At) -> tuple[Tensor, Tensor]:
        """D state / d state before, and d state / d input, with hidden and cell stacked."""

    def _gates(self, hidden: Tensor, driven: Tensor | None) -> Tensor:
        """Tangents of the gates."""
        width = hidden.shape[-1]
        gates = hidden @ self.kernel[:, :width].T
        return gates if driven is None else gates + driven @ self.kernel[:, width:].T


def slope_of_tanh(a: Tensor) -> Tensor:
    """tanh'(a), to full relative precision."""
    return torch.cosh(a).pow_(-2)


def slope_of_sigmoid(a: Tensor, sigmoid: Tensor) -> Tensor:
    """s'(a) = s(a) s(-a), to full relative precision; s(a) is there already."""
    return a.neg().sigmoid_().mul_(sigmoid)


@dataclass(frozen=True)
class LSTM(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), as in `nn.LSTM`."""

    weight_hr: Float[Tensor, "recurred hidden"] | None = None

    def step(self, drive: Tensor, state: State) -> tuple[State, Tensor]:
        hidden, cell = state
        inner = self._gates(drive, hidden)
        i, f, _, o = inner.sigmoid().chunk(4, dim=-1)
        cell = torch.addcmul(f * cell, i, inner.chunk(4, dim=-1)[2].tanh())
        hidden = o * cell.tanh()
        if self.weight_hr is not None:
            hidden = F.linear(hidden, self.weight_hr)
        return (hidden, cell), inner

    def along(self, states: State, before: State, inner: Tensor, /) -> "LinearLSTM":
        cell, g = states[1], inner.chunk(4, dim=-1)[2]
        gates = inner.sigmoid()
        i, f, _, o = gates.chunk(4, dim=-1)
        di, df, _, do = slope_of_sigmoid(inner, gates).chunk(4, dim=-1)
        slopes = inner.new_empty(*cell.shape[:-1], 6, cell.shape[-1])
        torch.mul(g.tanh(), di, out=slopes[..., 0, :])
        torch.mul(before[1], df, out=slopes[..., 1, :])
        torch.mul(i, slope_of_tanh(g), out=slopes[..., 2, :])
        torch.mul(cell.tanh(), do, out=slopes[..., 3, :])
        torch.mul(o, slope_of_tanh(cell), out=slopes[..., 4, :])
        slopes[..., 5, :] = f
        return LinearLSTM(self._kernel(), slopes, self.weight_hr)

    @property
    def candidate_weight(self) -> Float[Tensor, "hidden hidden"]:
        weight = self.weight_hh.chunk(4)[2]
        return weight if self.weight_hr is None else weight @ self.weight_hr

    @property
    def forget_bias(self) -> Float[Tensor, " hidden"]:
        return self._bias().chunk(4)[1]

    def retention(self, inner: Float[Tensor, "*some inner"], /) -> Float[Tensor, "*some hidden"]:
        return inner.chunk(4, dim=-1)[1].sigmoid()


@dataclass(frozen=True)
class LinearLSTM(Linear):
    """`slopes` are d cell / d (i, f, g), d hidden / d o, d hidden / d cell, d cell / d cell."""

    slopes: Float[Tensor, "time batch 6 hidden"]
    projection: Float[Tensor, "recurred hidden"] | None

    def pull(self, at: At, adjoint: State) -> tuple[State, Tensor]:
        hidden, cell = adjoint
        width, slopes = hidden.shape[-1], self.slopes[at]
        if self.projection is not None:
            hidden = hidden @ self.projection
        cell = torch.addcmul(cell, hidden, slopes[..., 4, :])
        gates = cell.new_empty(*cell.shape[:-1], 4, cell.shape[-1])
        torch.mul(cell.unsqueeze(-2), slopes[..., :3, :], out=gates[..., :3, :])
        torch.mul(hidden, slopes[..., 3, :], out=gates[..., 3, :])
        back = gates.flatten(-2) @ self.kernel
        return (back[..., :width], cell.mul_(slopes[..., 5, :])), back[..., width:]

    def push(self, at: At, tangent: State, driven: Tensor | None) -> State:
        hidden, cell = tangent
        slopes, gates = self.slopes[at], self._gates(hidden, driven).unflatten(-1, (4, -1))
        cell = cell * slopes[..., 5, :]
        for gate in range(3):
            cell.addcmul_(gates[..., gate, :], slopes[..., gate, :])
        hidden = (cell * slopes[..., 4, :]).addcmul_(gates[..., 3, :], slopes[..., 3, :])
        if self.projection is not None:
            hidden = hidden @ self.projection.T
        return hidden, cell

    def jacobian(self, at: At) -> tuple[Tensor, Tensor]:
        """Rows are first scaled by how the cell and the output gate depend on each gate."""
        weights, slopes = self.kernel.unflatten(0, (4, -1)), self.slopes[at].unsqueeze(-1)
        cell = slopes[..., 0, :, :] * weights[0]
        for gate in (1, 2):
            cell.addcmul_(slopes[..., gate, :, :], weights[gate])
        hidden = (slopes[..., 4, :, :] * cell).addcmul_(slopes[..., 3, :, :], weights[3])
        kept = torch.diag_embed(slopes[..., 5, :, 0])
        from_cell = slopes[..., 4, :, :] * kept
        if self.projection is not None:
            hidden, from_cell = self.projection @ hidden, self.projection @ from_cell
        width = hidden.shape[-2]
        own = torch.cat(
            [
                torch.cat([hidden[..., :width], from_cell], -1),
                torch.cat([cell[..., :width], kept], -1),
            ],
            dim=-2,
        )
        return own, torch.cat([hidden[..., width:], cell[..., width:]], dim=-2)


@dataclass(frozen=True)
class GRU(Cell):
    """Learning phrase representations using RNN encoder-decoder (Cho et al., 2014): `nn.GRU`."""

    def driven(self, x: Float[Tensor, "*some features"]) -> Float[Tensor, "*some gates"]:
        """What the input contributes, with its own bias: the other one stands within a gate."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def step(self, drive: Tensor, state: State) -> tuple[State, Tensor]:
        (hidden,) = state
        drive_r, drive_z, drive_n = drive.chunk(3, dim=-1)
        from_r, from_z, from_n = F.linear(hidden, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
        reset, keep = drive_r + from_r, drive_z + from_z
        new = torch.addcmul(drive_n, reset.sigmoid(), from_n)
        hidden = torch.lerp(new.tanh(), hidden, keep.sigmoid())
        return (hidden,), torch.cat([reset, keep, new, from_n], dim=-1)

    def along(self, _states: State, before: State, inner: Tensor, /) -> "LinearGRU":
        reset, keep, new, from_n = inner.chunk(4, dim=-1)
        slopes = inner.new_empty(*keep.shape[:-1], 5, keep.shape[-1])
        r = torch.sigmoid(reset, out=slopes[..., 3, :])
        z = torch.sigmoid(keep, out=slopes[..., 4, :])
        to_new = torch.mul(torch.sigmoid(-keep), slope_of_tanh(new), out=slopes[..., 2, :])
        torch.mul(to_new * from_n, slope_of_sigmoid(reset, r), out=slopes[..., 0, :])
        torch.mul(before[0] - new.tanh(), slope_of_sigmoid(keep, z), out=slopes[..., 1, :])
        return LinearGRU(self._kernel(), slopes)

    @property
    def candidate_weight(self) -> Float[Tensor, "hidden hidden"]:
        return self.weight_hh.chunk(3)[2]

    @property
    def forget_bias(self) -> Float[Tensor, " hidden"]:
        return self._bias().chunk(3)[1]

    def retention(self, inner: Float[Tensor, "*some inner"], /) -> Float[Tensor, "*some hidden"]:
        return inner.chunk(4, dim=-1)[1].sigmoid()


@dataclass(frozen=True)
class LinearGRU(Linear):
    """`slopes` are d hidden / d (r, z, n), the reset gate, and d hidden / d hidden directly."""

    slopes: Float[Tensor, "time batch 5 hidden"]

    def pull(self, at: At, adjoint: State) -> tuple[State, Tensor]:
        (hidden,) = adjoint
        width, slopes = hidden.shape[-1], self.slopes[at]
        gates = hidden.unsqueeze(-2) * slopes[..., :3, :]
        dx = gates.flatten(-2) @ self.kernel[:, width:]
        gates[..., 2, :].mul_(slopes[..., 3, :])
        back = gates.flatten(-2) @ self.kernel[:, :width]
        return (back.addcmul_(hidden, slopes[..., 4, :]),), dx

    def push(self, at: At, tangent: State, driven: Tensor | None) -> State:
        (hidden,) = tangent
        slopes, gates = self.slopes[at], self._gates(hidden, None).unflatten(-1, (3, -1))
        gates[..., 2, :].mul_(slopes[..., 3, :])
        if driven is not None:
            gates += (driven @ self.kernel[:, hidden.shape[-1] :].T).unflatten(-1, (3, -1))
        return ((gates * slopes[..., :3, :]).sum(-2).addcmul_(hidden, slopes[..., 4, :]),)

    def jacobian(self, at: At) -> tuple[Tensor, Tensor]:
        weights, slopes = self.kernel.unflatten(0, (3, -1)), self.slopes[at].unsqueeze(-1)
        width = slopes.shape[-2]
        both = slopes[..., 0, :, :] * weights[0]
        both.addcmul_(slopes[..., 1, :, :], weights[1])
        driven = both[..., width:].addcmul(slopes[..., 2, :, :], weights[2, :, width:])
        to_new = slopes[..., 2, :, :] * slopes[..., 3, :, :]
        own = both[..., :width].addcmul(to_new, weights[2, :, :width])
        return own + torch.diag_embed(slopes[..., 4, :, 0]), driven


@dataclass(frozen=True)
class RNN(Cell):
    """Finding structure in time (Elman, 1990): `nn.RNN`."""

    relu: bool = False

    def step(self, drive: Tensor, state: State) -> tuple[State, Tensor]:
        inner = self._gates(drive, state[0])
        return (inner.relu() if self.relu else inner.tanh(),), inner

    def along(self, _states: State, _before: State, inner: Tensor, /) -> "LinearRNN":
        slope = (inner > 0).to(inner) if self.relu else slope_of_tanh(inner)
        return LinearRNN(self._kernel(), slope)

    @property
    def candidate_weight(self) -> Float[Tensor, "hidden hidden"]:
        return self.weight_hh

    @property
    def forget_bias(self) -> None:
        return None

    def retention(self, _inner: Float[Tensor, "*some inner"], /) -> None:
        return None


@dataclass(frozen=True)
class LinearRNN(Linear):
    slope: Float[Tensor, "time batch hidden"]

    def pull(self, at: At, adjoint: State) -> tuple[State, Tensor]:
        back = (adjoint[0] * self.slope[at]) @ self.kernel
        width = self.kernel.shape[0]
        return (back[..., :width],), back[..., width:]

    def push(self, at: At, tangent: State, driven: Tensor | None) -> State:
        return (self._gates(tangent[0], driven) * self.slope[at],)

    def jacobian(self, at: At) -> tuple[Tensor, Tensor]:
        both = self.slope[at].unsqueeze(-1) * self.kernel
        width = self.kernel.shape[0]
        return both[..., :width], both[..., width:]
