"""Unrolled `nn.RNN`, `nn.LSTM` and `nn.GRU`: the same numbers, with every step in the open.

Fused kernels hide their steps: a hook on the output of `nn.LSTM` sees no gradient at any step
but the last, and the cell state appears only at the end. The replay computes the recurrence
with the module's own weights, step by step, and keeps the states in the autograd graph.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]


@contextmanager
def replayed(rnn: nn.RNNBase, keep: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Within this context `rnn` runs unrolled and hands its states to `keep(name, states)`.

    Names are `state_l0`, `state_l0_reverse`, ...; states are (batch, time, everything carried):
    for an LSTM the hidden and the cell state side by side.
    """

    def forward(input: Any, hx: Any = None) -> tuple[Any, Any]:
        if isinstance(input, PackedSequence):
            return _packed(rnn, input, hx, keep)
        return unrolled(rnn, input, hx, keep)

    own = {k: v for k, v in rnn.__dict__.items() if k == "forward"}
    rnn.__dict__["forward"] = forward
    try:
        yield
    finally:
        del rnn.__dict__["forward"]
        rnn.__dict__.update(own)


def _packed(
    rnn: nn.RNNBase, input: PackedSequence, hx: Any, keep: Callable[[str, Tensor], None]
) -> tuple[PackedSequence, Any]:
    """SeqProbe's sequences are equally long: packed or not, they are the same."""
    padded, lengths = pad_packed_sequence(input, batch_first=rnn.batch_first)
    output, final = unrolled(rnn, padded, hx, keep)
    packed = pack_padded_sequence(
        output, lengths, batch_first=rnn.batch_first, enforce_sorted=False
    )
    return packed, final


def unrolled(
    rnn: nn.RNNBase, input: Tensor, hx: Any, keep: Callable[[str, Tensor], None]
) -> tuple[Tensor, Any]:
    """The module's forward, in evaluation mode, for a batch of equally long sequences."""
    layer_input = input if rnn.batch_first else input.transpose(0, 1)
    finals: list[State] = []
    for layer in range(rnn.num_layers):
        directions = []
        for suffix in _suffixes(rnn, layer):
            initial = _initial(rnn, hx, len(finals), layer_input)
            states, final = _run(rnn, suffix, layer_input, initial)
            keep(f"state{suffix}", torch.cat(states, dim=-1))
            directions.append(states[0])
            finals.append(final)
        layer_input = torch.cat(directions, dim=-1)
    output = layer_input if rnn.batch_first else layer_input.transpose(0, 1)
    stacked = tuple(torch.stack(parts) for parts in zip(*finals, strict=True))
    return output, stacked if isinstance(rnn, nn.LSTM) else stacked[0]


def _suffixes(rnn: nn.RNNBase, layer: int) -> tuple[str, ...]:
    one_way = (f"_l{layer}",)
    return (*one_way, f"_l{layer}_reverse") if rnn.bidirectional else one_way


def _initial(rnn: nn.RNNBase, hx: Any, index: int, x: Tensor) -> State:
    if hx is not None:
        return tuple(part[index] for part in (hx if isinstance(hx, tuple) else (hx,)))
    hidden = x.new_zeros(x.shape[0], rnn.proj_size or rnn.hidden_size)
    if isinstance(rnn, nn.LSTM):
        return hidden, x.new_zeros(x.shape[0], rnn.hidden_size)
    return (hidden,)


def _run(
    rnn: nn.RNNBase, suffix: str, x: Float[Tensor, "batch time features"], state: State
) -> tuple[State, State]:
    """One layer in one direction: the states of all steps, and the final one."""
    weight, bias = getattr(rnn, f"weight_ih{suffix}"), _optional(rnn, f"bias_ih{suffix}")
    driven = F.linear(x, weight, bias).unbind(dim=1)
    step = _step(rnn, suffix)
    reverse = suffix.endswith("_reverse")
    history = []
    for drive in reversed(driven) if reverse else driven:
        state = step(drive, state)
        history.append(state)
    if reverse:
        history.reverse()
    return tuple(torch.stack(parts, dim=1) for parts in zip(*history, strict=True)), state


def _optional(rnn: nn.RNNBase, name: str) -> Tensor | None:
    return getattr(rnn, name) if rnn.bias else None


def _step(rnn: nn.RNNBase, suffix: str) -> Step:
    """The cell: from what the input drives and the last state to the next state."""
    weight, bias = getattr(rnn, f"weight_hh{suffix}"), _optional(rnn, f"bias_hh{suffix}")

    def lstm(drive: Tensor, state: State) -> State:
        hidden, cell = state
        i, f, g, o = (drive + F.linear(hidden, weight, bias)).chunk(4, dim=-1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        if rnn.proj_size:
            hidden = F.linear(hidden, getattr(rnn, f"weight_hr{suffix}"))
        return hidden, cell

    def gru(drive: Tensor, state: State) -> State:
        (hidden,) = state
        drive_r, drive_z, drive_n = drive.chunk(3, dim=-1)
        from_r, from_z, from_n = F.linear(hidden, weight, bias).chunk(3, dim=-1)
        keep = (drive_z + from_z).sigmoid()
        new = (drive_n + (drive_r + from_r).sigmoid() * from_n).tanh()
        return (new + keep * (hidden - new),)

    def rnn_step(drive: Tensor, state: State) -> State:
        total = drive + F.linear(state[0], weight, bias)
        return (total.relu() if rnn.mode == "RNN_RELU" else total.tanh(),)

    return {"LSTM": lstm, "GRU": gru}.get(rnn.mode, rnn_step)
