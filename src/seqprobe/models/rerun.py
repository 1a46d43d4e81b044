"""A module run again on its recorded input, to see which positions act on which others."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

Seen = tuple[Float[Tensor, "time numbers"], ...]
Change = Callable[[Tensor], Tensor]
Differ = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rerun:
    """A module that can be run again with one position changed of all that goes into it.

    The modules in `cut` are cut out: what they returned, in the order of their calls, goes in, and
    what they are given comes out. What is left mixes positions by itself if it still does so.

    Runs are compared with a plain run of the same tensors laid out in the same way, so that a
    kernel whose last bit depends on the shape or the layout cannot be taken for mixing.
    """

    part: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    time: int
    cut: tuple[nn.Module, ...]
    returned: tuple[Any, ...]
    plain: Seen

    @classmethod
    def of(
        cls,
        part: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: Any,
        time: int,
        cut: Sequence[nn.Module] = (),
    ) -> "Rerun | None":
        """None where it has no input and output over time, or cannot be repeated alone."""
        output = over_time(output, time)
        first = cls(part, args, kwargs, time, (), (), ())
        if output is None or not any(map(first._goes_in, first._given)):
            return None
        try:
            returned = first._returned(cut)
            again = cls(part, args, kwargs, time, tuple(cut), returned, ())._run(torch.clone)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception:  # whatever the module says: alone it cannot be run
            return None
        before = output.flatten(1)
        if before.shape != again[0].shape or _beyond_rounding(before, again[0]).any():
            return None
        return cls(part, args, kwargs, time, tuple(cut), returned, again)

    def mixes(self) -> bool:
        """Whether the first, middle or last position reaches any other one.

        A difference as small as rounding may come from shapes, as where experts get other tokens
        beside it: there derivatives decide.
        """
        doubt = False
        for position in self._probed:
            elsewhere = torch.arange(self.time) != position
            seen = self._seen_from(position)
            if self._moved(seen, _beyond_rounding)[elsewhere].any():
                return True
            doubt = doubt or bool(self._moved(seen, torch.ne)[elsewhere].any())
        if not doubt:
            return False
        found = self._derivatives(self._probed)
        if found is None:
            return True
        return bool(found.scatter(1, torch.tensor(self._probed)[:, None], False).any())

    def directions(self, beyond: int = 0) -> Bool[Tensor, "time time"]:
        """For what carries whatever it carries through every step: all that lies behind, all that
        lies ahead, or both, if anything is seen there more than `beyond` steps away.
        """
        everything = torch.ones(self.time, self.time, dtype=torch.bool)
        first, last = self.matrix([0, self.time - 1])
        forward, backward = last[: self.time - 1 - beyond].any(), first[beyond + 1 :].any()
        found: Tensor = (everything.tril() & forward) | (everything.triu() & backward)
        return found

    def matrix(self, targets: Sequence[int] | None = None) -> Bool[Tensor, "targets time"]:
        """Which output depends on which input, [t, s], for some or all outputs t.

        By derivatives where there are any: a weight of 1e-12 is a path, although a finite change
        disappears in the rounding. Where there are none, or a finite change goes where they do not,
        as through a choice or a number that Python reads, finite changes count.
        """
        rows = list(range(self.time) if targets is None else targets)
        found = self._derivatives(rows)
        if found is None:
            return self._finite(range(self.time), torch.ne)[rows]
        probed = self._finite(self._probed, _beyond_rounding)[rows]
        if (probed & ~found[:, self._probed]).any():
            found |= self._finite(range(self.time), _beyond_rounding)[rows]
        return found

    @property
    def _probed(self) -> list[int]:
        return [0, self.time // 2, self.time - 1]

    def _finite(self, positions: Sequence[int], differ: Differ) -> Bool[Tensor, "time positions"]:
        """Where anything differs after a change at each of some positions."""
        moved = [self._moved(self._seen_from(position), differ) for position in positions]
        return torch.stack(moved, dim=1)

    def _seen_from(self, position: int) -> Seen:
        return self._run(partial(_changed, position, self.time))

    def _moved(self, seen: Seen, differ: Differ) -> Bool[Tensor, " time"]:
        moved = [differ(a, b).any(1).cpu() for a, b in zip(self.plain, seen, strict=True)]
        return torch.stack(moved).any(0)

    def _derivatives(self, targets: Sequence[int]) -> Bool[Tensor, "targets time"] | None:
        """Where they are not zero; None where there are none: the module cuts the graph, writes
        over what a backward needs, or reads tokens that no embedding inside it takes.
        """
        leaves: list[Tensor] = []

        def leaf(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor.clone()
            leaves.append(tensor.detach().requires_grad_())
            return leaves[-1].clone()

        try:
            with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), _quiet():
                seen = self._run(leaf, self._embeddings())
                numbers = [(each * _noise(each, i)).nan_to_num() for i, each in enumerate(seen)]
                weighed = torch.stack([each.sum(1) for each in numbers]).sum(0).unbind()
                return torch.stack([self._nonzero(weighed[target], leaves) for target in targets])
        except RuntimeError:
            return None

    def _nonzero(self, number: Tensor, leaves: Sequence[Tensor]) -> Bool[Tensor, " time"]:
        found = torch.zeros(self.time, dtype=torch.bool)
        for gradient in torch.autograd.grad(number, leaves, retain_graph=True, allow_unused=True):
            if gradient is not None:
                axis = time_axis(gradient, self.time)
                there = gradient != 0
                by_step = there.any() if axis is None else there.movedim(axis, 0).flatten(1).any(1)
                found |= by_step.cpu()
        return found

    def _returned(self, cut: Sequence[nn.Module]) -> tuple[Any, ...]:
        """What the modules to cut out give, call by call."""
        kept: list[Any] = []
        with ExitStack() as stack:
            for part in cut:
                _hook(stack, part, lambda out: kept.append(tree_map_only(Tensor, torch.clone, out)))
            self._run(torch.clone)
        return tuple(kept)

    def _run(self, change: Change, inside: Sequence[nn.Module] = ()) -> Seen:
        """All that comes out, after a change of all that goes in, or comes from modules inside."""
        args = [self._afresh(value, change) for value in self.args]
        kwargs = {name: self._afresh(value, change) for name, value in self.kwargs.items()}
        seen: list[Tensor] = []
        returned = iter(self.returned)

        def enter(_module: nn.Module, args: Any, kwargs: Any) -> None:
            found = (over_time(value, self.time) for value in (*args, *kwargs.values()))
            seen.extend(value.flatten(1).clone() for value in found if value is not None)

        with ExitStack() as stack:
            for part in self.cut:
                stack.callback(part.register_forward_pre_hook(enter, with_kwargs=True).remove)
                _hook(stack, part, lambda out: _each_changed(next(returned, out), change))
            for part in inside:
                _hook(stack, part, partial(_each_changed, change=change))
            output = over_time(self.part(*args, **kwargs), self.time)
        assert output is not None
        return output.flatten(1), *seen

    @cached_property
    def _reads_numbers(self) -> bool:
        return any(_over_time(value, self.time, numbers=True) for value in self._given)

    @property
    def _given(self) -> Iterator[Any]:
        yield from (*self.args, *self.kwargs.values())

    def _afresh(self, value: Any, change: Change) -> Any:
        """What goes in, changed; of what else is given a copy, for the module may write to it."""
        return change(value) if self._goes_in(value) else unwritten(value)

    def _goes_in(self, value: Any) -> bool:
        """Numbers over time, or tokens where there are no numbers."""
        return _over_time(value, self.time, numbers=self._reads_numbers)

    def _embeddings(self) -> list[nn.Module]:
        """Where tokens become numbers, which have derivatives."""
        parts = self.part.modules() if not self._reads_numbers else ()
        return [part for part in parts if isinstance(part, nn.Embedding)]


def unwritten(value: Any) -> Any:
    """A copy that nobody writes to, such as of a cache; the same where it cannot be copied."""
    try:
        return deepcopy(value)
    except Exception:
        return value


def time_axis(value: Any, time: int) -> int | None:
    """Where time is in a tensor that is batch-first, time-first, or (batch, channels, time)."""
    if not isinstance(value, Tensor) or value.ndim < 2 or value.ndim > 3:
        return None
    axes = [axis for axis in (1, 0, 2) if axis < value.ndim and value.shape[axis] == time]
    return axes[0] if axes else None


def over_time(output: Any, time: int) -> Tensor | None:
    """The first floating-point tensor of an output that has a time axis, time first."""
    if isinstance(output, Tensor):
        axis = time_axis(output, time) if output.is_floating_point() else None
        return output.movedim(axis, 0) if axis is not None else None
    if isinstance(output, dict):
        output = tuple(output.values())
    parts = output if isinstance(output, tuple | list) else ()
    found = (over_time(part, time) for part in parts)
    return next((tensor for tensor in found if tensor is not None), None)


def _over_time(value: Any, time: int, *, numbers: bool) -> bool:
    return time_axis(value, time) is not None and value.is_floating_point() == numbers


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's advice to a module that reads single numbers of what has a derivative."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _hook(stack: ExitStack, part: nn.Module, work: Callable[[Any], Any]) -> None:
    """Within the context of the stack, `work` sees what the module returns, and may replace it."""
    handle = part.register_forward_hook(lambda _module, _args, output: work(output))
    stack.callback(handle.remove)


def _each_changed(output: Any, change: Change) -> Any:
    return tree_map_only(
        Tensor, lambda t: (change if t.is_floating_point() else torch.clone)(t), output
    )


def _changed(position: int, time: int, value: Tensor) -> Tensor:
    """The same with one position replaced: other tokens, or other numbers.

    Without a time axis it belongs to all positions, and is replaced as a whole.
    """
    axis = time_axis(value, time)
    edited = value.clone()
    step = edited if axis is None else edited.select(axis, position)
    if torch.is_floating_point(step):
        step += _noise(step, position)
    else:
        step.copy_(torch.where(step == value.max(), value.min(), value.max()))
    return edited


def _noise(like: Tensor, seed: int) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like)


def _beyond_rounding(before: Tensor, after: Tensor) -> Bool[Tensor, "time numbers"]:
    """Where two runs differ by more than half of the digits that numbers of this type have."""
    size = before[before.isfinite()].abs().max() if before.isfinite().any() else 0.0
    found: Tensor = (after - before).abs() > torch.finfo(before.dtype).eps ** 0.5 * size
    return found
