"""Unrolled `nn.RNN`, `nn.LSTM` and `nn.GRU`: the same numbers, with every step in the open.

Fused kernels hide their steps: a hook on the output of `nn.LSTM` sees no gradient at any step
but the last, and the cell state appears only at the end. The replay computes the recurrence
with the module's own weights, step by step, and keeps the states in the autograd graph.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqprobe.models.cells import GRU, LSTM, RNN, Cell, Linear, State


@dataclass(frozen=True)
class LayerRun:
    """One layer, in one direction, along one batch; tensors are (time, batch, width).

    `initial` is the state before the first step; `inner` is what the cell's derivative needs.
    """

    name: str
    cell: Cell
    inputs: Float[Tensor, "time batch features"]
    initial: State
    states: State
    inner: Float[Tensor, "time batch inner"]

    @property
    def state(self) -> Float[Tensor, "batch time carried"]:
        """All that is carried: for an LSTM hidden and cell state side by side."""
        return torch.cat(self.states, dim=-1).transpose(0, 1)

    @property
    def hidden(self) -> int:
        """Numbers of the hidden state; those of a cell state come after it."""
        return self.states[0].shape[-1]

    @property
    def candidate_weight(self) -> Float[Tensor, "hidden hidden"]:
        """From the last state to the new value, before any gate."""
        return self.cell.candidate_weight

    @property
    def forget_bias(self) -> Float[Tensor, " hidden"] | None:
        """What the gate that keeps the state gets without any input."""
        return self.cell.forget_bias

    @property
    def retention(self) -> Float[Tensor, "time batch hidden"] | None:
        """The gate that decides how much of the state is kept, if there is one."""
        return self.cell.retention(self.inner)

    @cached_property
    def linear(self) -> Linear:
        """The derivative at every step; for a layer that runs forward."""
        run = self.without_graph()
        before = tuple(
            torch.cat([first.unsqueeze(0), state[:-1]])
            for first, state in zip(run.initial, run.states, strict=True)
        )
        return self.cell.along(run.states, before, run.inner)

    def without_graph(self) -> "LayerRun":
        """The same numbers, and nothing of what led to them."""
        return replace(
            self,
            inputs=self.inputs.detach(),
            initial=tuple(state.detach() for state in self.initial),
            states=tuple(state.detach() for state in self.states),
            inner=self.inner.detach(),
        )


Keep = Callable[[LayerRun], None]


@contextmanager
def replayed(
    rnn: nn.RNNBase, keep: Keep, cut: Callable[[Tensor], None] | None = None
) -> Iterator[None]:
    """Within this context `rnn` runs unrolled and hands its layers to `keep`.

    Their names are `state_l0`, `state_l0_reverse`, ... With `cut`, the output is a new leaf
    (batch, time, width) of the graph, which is handed over too; not if the initial state has a
    gradient of its own.
    """

    def run(input: Tensor, hx: Any) -> tuple[Tensor, Any]:
        if cut is None or _depends_on_inputs(hx):
            return unrolled(rnn, input, hx, keep)
        with torch.no_grad():
            output, final = unrolled(rnn, input, hx, keep)
        leaf = (output if rnn.batch_first else output.transpose(0, 1)).detach().requires_grad_()
        cut(leaf)
        return leaf if rnn.batch_first else leaf.transpose(0, 1), final

    def forward(input: Any, hx: Any = None) -> tuple[Any, Any]:
        return _packed(rnn, input, hx, run) if isinstance(input, PackedSequence) else run(input, hx)

    with running(rnn, forward):
        yield


@contextmanager
def running(rnn: nn.RNNBase, forward: Callable[..., Any]) -> Iterator[None]:
    """Within this context `forward` runs in place of the module's own."""
    own = {k: v for k, v in rnn.__dict__.items() if k == "forward"}
    rnn.__dict__["forward"] = forward
    try:
        yield
    finally:
        del rnn.__dict__["forward"]
        rnn.__dict__.update(own)


def _depends_on_inputs(hx: Any) -> bool:
    parts = hx if isinstance(hx, tuple) else (hx,)
    return any(part is not None and part.requires_grad for part in parts)


def _packed(
    rnn: nn.RNNBase,
    input: PackedSequence,
    hx: Any,
    run: Callable[[Tensor, Any], tuple[Tensor, Any]],
) -> tuple[PackedSequence, Any]:
    """SeqProbe's sequences are equally long: packed or not, they are the same."""
    padded, lengths = pad_packed_sequence(input, batch_first=rnn.batch_first)
    output, final = run(padded, hx)
    packed = pack_padded_sequence(
        output, lengths, batch_first=rnn.batch_first, enforce_sorted=False
    )
    return packed, final


def unrolled(rnn: nn.RNNBase, input: Tensor, hx: Any, keep: Keep) -> tuple[Tensor, Any]:
    """The module's forward, in evaluation mode, for a batch of equally long sequences."""
    layer_input = (input.transpose(0, 1) if rnn.batch_first else input).contiguous()
    finals: list[State] = []
    for layer in range(rnn.num_layers):
        directions = []
        for suffix in _suffixes(rnn, layer):
            initial = _initial(rnn, hx, len(finals), layer_input)
            run, final = _run(rnn, suffix, layer_input, initial)
            keep(run)
            directions.append(run.states[0])
            finals.append(final)
        layer_input = directions[0] if len(directions) == 1 else torch.cat(directions, dim=-1)
    output = layer_input.transpose(0, 1) if rnn.batch_first else layer_input
    stacked = tuple(torch.stack(parts) for parts in zip(*finals, strict=True))
    return output, stacked if isinstance(rnn, nn.LSTM) else stacked[0]


def _suffixes(rnn: nn.RNNBase, layer: int) -> tuple[str, ...]:
    one_way = (f"_l{layer}",)
    return (*one_way, f"_l{layer}_reverse") if rnn.bidirectional else one_way


def _initial(
    rnn: nn.RNNBase, hx: Any, index: int, x: Float[Tensor, "time batch features"]
) -> State:
    if hx is not None:
        return tuple(part[index] for part in (hx if isinstance(hx, tuple) else (hx,)))
    hidden = x.new_zeros(x.shape[1], rnn.proj_size or rnn.hidden_size)
    if isinstance(rnn, nn.LSTM):
        return hidden, x.new_zeros(x.shape[1], rnn.hidden_size)
    return (hidden,)


def _run(
    rnn: nn.RNNBase, suffix: str, x: Float[Tensor, "time batch features"], initial: State
) -> tuple[LayerRun, State]:
    """One layer in one direction, and its final state."""
    cell, state = cell_of(rnn, suffix), initial
    driven = cell.driven(x).unbind()
    reverse = suffix.endswith("_reverse")
    states, inner = [], []
    for drive in reversed(driven) if reverse else driven:
        state, inside = cell.step(drive, state)
        states.append(state)
        inner.append(inside)
    if reverse:
        states.reverse()
        inner.reverse()
    stacked = tuple(torch.stack(parts) for parts in zip(*states, strict=True))
    run = LayerRun(f"state{suffix}", cell, x, initial, stacked, torch.stack(inner))
    return run, state


def cell_of(rnn: nn.RNNBase, suffix: str) -> Cell:
    """The weights of one layer, named as in `nn.RNNBase`: `_l0`, `_l0_reverse`, ..."""
    names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if rnn.bias else ()))
    weights = {name: getattr(rnn, name + suffix) for name in names}
    if rnn.mode == "GRU":
        return GRU(**weights)
    if rnn.mode == "LSTM":
        return LSTM(**weights, weight_hr=getattr(rnn, f"weight_hr{suffix}", None))
    return RNN(**weights, relu=rnn.mode == "RNN_RELU")
