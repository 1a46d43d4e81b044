"""Which modules move information between positions: found by measuring, not by name.

Every module is run again on its own recorded input with one position changed. Where the output
at another position changes by a single bit, the module mixes positions; the innermost such
modules are the mixers. Classes only decide what kind of mixer it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from seqprobe.contracts import Mixer, MixerKind

_ATTENTION_CALLS = {F.scaled_dot_product_attention, F.multi_head_attention_forward}
_SOFTMAX_CALLS = {F.softmax, torch.softmax, Tensor.softmax}


@dataclass
class _Call:
    """How a module was called, and how many times."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    attention: bool
    times: int = 0


def find_mixers(module: nn.Module, run: Callable[[], Any], time: int) -> tuple[Mixer, ...]:
    """The innermost modules that mix positions, in the order in which `run()` calls them.

    `run` calls the module on two equally long sequences of `time` steps; no other size in the
    model may equal `time`.
    """
    mixers: list[Mixer] = []
    for path, call in _record(module, run, time).items():
        if any(mixer.path.startswith(f"{path}.") or path == "" for mixer in mixers):
            continue
        part = module.get_submodule(path)
        rerun = _Rerun.of(part, call, time)
        if rerun is not None and rerun.mixes():
            kind = _kind(part, call)
            support = rerun.directions() if kind == "recurrent" else rerun.matrix()
            if kind == "convolution" and _reaches_beyond_kernels(part, support):
                kind = "unknown"
            mixers += [Mixer(path, kind, support)] * call.times
    return tuple(mixers)


def _kind(part: nn.Module, call: _Call) -> MixerKind:
    inside = tuple(part.modules())
    if any(isinstance(child, nn.RNNBase | nn.RNNCellBase) for child in inside):
        return "recurrent"
    if call.attention:
        return "attention"
    if any(isinstance(child, nn.Conv1d) and child.kernel_size[0] > 1 for child in inside):
        return "convolution"
    return "unknown"


def _reaches_beyond_kernels(part: nn.Module, support: Bool[Tensor, "time time"]) -> bool:
    """A convolution may be only a part of what mixes positions, as in state-space models."""
    convolutions = [child for child in part.modules() if isinstance(child, nn.Conv1d)]
    reach = sum((each.kernel_size[0] - 1) * each.dilation[0] for each in convolutions)
    beyond = support & ~support.new_ones(support.shape).tril(reach).triu(-reach)
    return bool(beyond.any())


def _record(module: nn.Module, run: Callable[[], Any], time: int) -> dict[str, _Call]:
    """The first call of every module, inner modules before the ones that hold them."""
    calls: dict[str, _Call] = {}
    tap = _AttentionTap(time)
    outer: list[bool] = []

    def enter(_module: nn.Module, _args: Any) -> None:
        outer.append(tap.seen)
        tap.seen = False

    def leave(path: str) -> Callable[[nn.Module, Any, Any, Any], None]:
        def hook(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            calls.setdefault(path, _Call(args, kwargs, output, tap.seen)).times += 1
            tap.seen = outer.pop() or tap.seen

        return hook

    handles = []
    for path, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(enter))
        handles.append(part.register_forward_hook(leave(path), with_kwargs=True))
    try:
        with tap:
            run()
    finally:
        for handle in handles:
            handle.remove()
    return calls


class _AttentionTap(TorchFunctionMode):
    """Notices attention: the fused call, or a softmax over positions (over classes is none)."""

    def __init__(self, time: int) -> None:
        super().__init__()
        self.time, self.seen = time, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        over_positions = func in _SOFTMAX_CALLS and self.time in _softmax_size(*args, **kwargs)
        self.seen = self.seen or func in _ATTENTION_CALLS or over_positions
        return func(*args, **kwargs)


def _softmax_size(input: Tensor, dim: int | None = None, *_: Any, **__: Any) -> tuple[int, ...]:
    """How many weights of a softmax sum to one."""
    return input.shape if dim is None else (input.shape[dim],)


@contextmanager
def slow_attention_path() -> Iterator[None]:
    """Keep `nn.MultiheadAttention` and `nn.TransformerEncoder` from skipping their own code."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@dataclass(frozen=True)
class _Rerun:
    """A module that can be run again with one position of its input changed.

    Runs are compared with a plain run of the same shape, so that a kernel whose last bit depends
    on the shape of the batch cannot be taken for mixing.
    """

    part: nn.Module
    call: _Call
    time: int
    plain: Tensor

    @classmethod
    def of(cls, part: nn.Module, call: _Call, time: int) -> "_Rerun | None":
        """None where the module has no input and output over time, or does not repeat itself."""
        if not any(_time_axis(arg, time) is not None for arg in call.args):
            return None
        before = _over_time(call.output, time)
        try:
            again = _over_time(part(*call.args, **call.kwargs), time)
        except RuntimeError:  # a cache that it was given has grown, and its mask has not
            return None
        if before is None or again is None or not torch.equal(before, again):
            return None
        return cls(part, call, time, again)

    def mixes(self) -> bool:
        """Whether the first, middle or last position reaches any other one."""
        probes = {0, self.time // 2, self.time - 1}
        return any(self.reached_from(p).index_fill(0, torch.tensor(p), False).any() for p in probes)

    def directions(self) -> Bool[Tensor, "time time"]:
        """For a recurrence, which carries whatever it carries through every step: all that lies
        behind, all that lies ahead, or both.
        """
        everything = torch.ones(self.time, self.time, dtype=torch.bool)
        forward = self.reached_from(0)[1:].any()
        backward = self.reached_from(self.time - 1)[:-1].any()
        return (everything.tril() & forward) | (everything.triu() & backward)

    def matrix(self) -> Bool[Tensor, "time time"]:
        """Which output depends on which input, [t, s].

        By derivatives where there are any: a weight of 1e-12 is a path, although a finite change
        disappears in the rounding. Tokens have none; there a finite change decides.
        """
        index = next(
            i for i, a in enumerate(self.call.args) if _time_axis(a, self.time) is not None
        )
        derivatives = None
        if torch.is_floating_point(self.call.args[index]):
            derivatives = self._nonzero_derivatives(self.call.args[index])
        if derivatives is None:
            return torch.stack([self.reached_from(p) for p in range(self.time)], dim=1)
        return derivatives

    def _nonzero_derivatives(self, given: Tensor) -> Bool[Tensor, "time time"] | None:
        """None where the module cuts the graph."""
        leaf = given.detach().requires_grad_()
        axis = _time_axis(leaf, self.time)
        assert axis is not None
        with torch.enable_grad():
            args = [leaf.clone() if arg is given else arg for arg in self.call.args]
            output = _over_time(self.part(*args, **self.call.kwargs), self.time)
            assert output is not None
            if not output.requires_grad:
                return None
            noise = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
            weighed = (output * noise.to(output)).flatten(1).sum(1).unbind()
        rows = []
        for step in weighed:
            (gradient,) = torch.autograd.grad(step, leaf, retain_graph=True)
            rows.append((gradient.movedim(axis, 0) != 0).flatten(1).any(1))
        return torch.stack(rows)

    def reached_from(self, position: int) -> Bool[Tensor, " time"]:
        args = tuple(_changed(arg, position, self.time) for arg in self.call.args)
        edited = _over_time(self.part(*args, **self.call.kwargs), self.time)
        assert edited is not None
        return (edited != self.plain).flatten(1).any(1)


def _time_axis(value: Any, time: int) -> int | None:
    """Where time is in a tensor that is batch-first, time-first, or (batch, channels, time)."""
    if not isinstance(value, Tensor) or value.ndim < 2 or value.ndim > 3:
        return None
    axes = [axis for axis in (1, 0, 2) if axis < value.ndim and value.shape[axis] == time]
    return axes[0] if axes else None


def _over_time(output: Any, time: int) -> Tensor | None:
    """The first floating-point tensor of an output that has a time axis, time first."""
    if isinstance(output, Tensor):
        axis = _time_axis(output, time)
        return output.movedim(axis, 0) if axis is not None else None
    if isinstance(output, dict):
        output = tuple(output.values())
    parts = output if isinstance(output, tuple | list) else ()
    found = (_over_time(part, time) for part in parts)
    return next((tensor for tensor in found if tensor is not None), None)


def _changed(value: Any, position: int, time: int) -> Any:
    """The same argument with one position replaced: other tokens, or other numbers."""
    axis = _time_axis(value, time)
    if axis is None:
        return value
    edited = value.clone()
    step = edited.select(axis, position)
    if torch.is_floating_point(step):
        noise = torch.randn(step.shape, generator=torch.Generator().manual_seed(position))
        step += noise.to(step)
    else:
        step.copy_(torch.where(step == value.max(), value.min(), value.max()))
    return edited
