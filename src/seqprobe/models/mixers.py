"""Which modules move information between positions: found by measuring, not by name.

Every module is run again on its own recorded input with one position changed. Where the output
at another position changes, the module mixes positions. The innermost such modules are the mixers,
and so is a module that holds some if it mixes by more than these: cut out of it, they leave
something behind that still mixes. Classes only decide what kind of mixer it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from seqprobe.contracts import Mixer, MixerKind
from seqprobe.models.rerun import Rerun, unwritten
from seqprobe.models.state_space import is_state_space

_ATTENTION_CALLS = {F.scaled_dot_product_attention, F.multi_head_attention_forward}
_SOFTMAX_CALLS = {F.softmax, torch.softmax, Tensor.softmax}


@dataclass(frozen=True)
class _Call:
    """How a module was called, and the modules inside it whose own code called attention."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    attention: frozenset[str]


@dataclass(frozen=True)
class _Part:
    """What is left of a module without the mixers inside it."""

    path: str
    module: nn.Module
    call: _Call
    inner: tuple["_Part", ...]

    def mixer(self, time: int) -> Mixer | None:
        """None where it does not mix positions by itself."""
        cut, call = [part.module for part in self.inner], self.call
        rerun = Rerun.of(self.module, call.args, call.kwargs, call.output, time, cut)
        return self._measured(rerun) if rerun is not None and rerun.mixes() else None

    def _measured(self, rerun: Rerun) -> Mixer:
        own, kernels = self._own(), sum(map(_kernel, self._own()))
        if any(isinstance(each, nn.RNNBase | nn.RNNCellBase) for each in own):
            return Mixer(self.path, "recurrent", rerun.directions())
        if self.call.attention - {path for part in self.inner for path in part.call.attention}:
            return Mixer(self.path, "attention", rerun.matrix())
        if any(map(is_state_space, own)) and (found := rerun.directions(beyond=kernels)).any():
            return Mixer(self.path, "state space", found)
        support = rerun.matrix()
        beyond = support & ~support.new_ones(support.shape).tril(kernels).triu(-kernels)
        kind: MixerKind = "convolution" if kernels and not beyond.any() else "unknown"
        return Mixer(self.path, kind, support)

    def _own(self) -> list[nn.Module]:
        inner = {each for part in self.inner for each in part.module.modules()}
        return [each for each in self.module.modules() if each not in inner]


def find_mixers(module: nn.Module, run: Callable[[], Any], time: int) -> tuple[Mixer, ...]:
    """The modules that mix positions, in the order in which calls of them end in `run()`.

    One that holds others is among them for what it does beside them: its `support` is without
    them. `run` calls the module on two equally long sequences of `time` steps; no other size in the
    model may equal `time`.
    """
    calls, order = _record(module, run, time)
    parts: list[_Part] = []
    mixers: dict[str, Mixer] = {}
    for path, call in calls.items():
        here = module.get_submodule(path)
        inside = set(here.modules())
        part = _Part(path, here, call, tuple(each for each in parts if each.module in inside))
        mixer = part.mixer(time)
        if mixer is not None:
            parts = [*(each for each in parts if each.module not in inside), part]
            mixers[path] = mixer
    return tuple(mixers[path] for path in order if path in mixers)


def _kernel(part: nn.Module) -> int:
    """How many steps away a convolution or a shift can see."""
    if isinstance(part, nn.Conv1d):
        return (part.kernel_size[0] - 1) * part.dilation[0]
    return max(part.padding) if isinstance(part, nn.ZeroPad2d) else 0


def _record(
    module: nn.Module, run: Callable[[], Any], time: int
) -> tuple[dict[str, _Call], list[str]]:
    """The first call of every module, inner modules before those that hold them; and all calls."""
    calls: dict[str, _Call] = {}
    order: list[str] = []
    tap = _AttentionTap(time)
    outer: list[tuple[tuple[Any, Any], bool, frozenset[str]]] = []
    inner: frozenset[str] = frozenset()

    def enter(_module: nn.Module, args: Any, kwargs: Any) -> None:
        nonlocal inner
        outer.append((_kept(args, kwargs), tap.seen, inner))
        tap.seen, inner = False, frozenset()

    def leave(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            nonlocal inner
            (args, kwargs), seen, beside = outer.pop()
            found = inner | {path} if tap.seen else inner
            calls.setdefault(path, _Call(args, kwargs, output, found))
            order.append(path)
            tap.seen, inner = seen, beside | found

        return hook

    handles = []
    for path, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(part.register_forward_hook(leave(path)))
    try:
        with tap:
            run()
    finally:
        for handle in handles:
            handle.remove()
    return calls, order


def _kept(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The arguments as they were before the call, which may write to all but plain tensors."""

    def keep(value: Any) -> Any:
        return value if isinstance(value, Tensor) else unwritten(value)

    return tuple(map(keep, args)), {name: keep(value) for name, value in kwargs.items()}


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
