"""How tensors and their gradients are seen in compiled code: by operators that change nothing.

A compiler knows only the shapes of what they give; when the code runs they call back, in the
forward and in the backward.
"""

from itertools import count
from typing import Any, Protocol, runtime_checkable
from weakref import WeakValueDictionary

import torch
from torch import Tensor

NOBODY = -1


@runtime_checkable
class Watcher(Protocol):
    """Whoever is called back; a ticket says which call it was that a gradient belongs to."""

    def came(self, site: int, tensor: Tensor, tokens: Tensor | None) -> int:
        """A module has given this; what it was given, if it is the embedding."""
        ...

    def went_back(self, ticket: int, gradient: Tensor) -> None:
        """The gradient of it."""
        ...


_watchers: WeakValueDictionary[int, Watcher] = WeakValueDictionary()
_numbers = count()


def enrolled(watcher: Watcher) -> int:
    """The number by which compiled code knows the watcher."""
    number = next(_numbers)
    _watchers[number] = watcher
    return number


@torch.library.custom_op("seqprobe::tap", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,))
def tap(
    tensor: Tensor,
    anchor: Tensor | None,  # noqa: ARG001
    tokens: Tensor | None,
    watcher: int,
    site: int,
) -> tuple[Tensor, Tensor]:
    """The same numbers, and a ticket; with an `anchor` they have a gradient in any case."""
    known = _watchers.get(watcher)
    ticket = known.came(site, tensor, tokens) if known else NOBODY
    return tensor.clone(), torch.tensor(ticket)


@torch.library.custom_op(
    "seqprobe::tap_gradient", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,)
)
def tap_gradient(gradient: Tensor, ticket: Tensor, watcher: int) -> tuple[Tensor, Tensor]:
    """The same gradient, and one for the anchor."""
    if known := _watchers.get(watcher):
        known.went_back(int(ticket), gradient)
    return gradient.clone(), torch.zeros(())


@tap.register_fake
def _(
    tensor: Tensor, _anchor: Tensor | None, _tokens: Tensor | None, _watcher: int, _site: int
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(tensor), torch.empty((), dtype=torch.int64)


@tap_gradient.register_fake
def _(gradient: Tensor, _ticket: Tensor, _watcher: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(gradient), torch.empty(())


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, ctx.anchor, _, ctx.watcher, _ = inputs
    ctx.save_for_backward(output[1])


def _back(ctx: Any, gradient: Tensor, _ticket: Any) -> tuple[Tensor | None, ...]:
    same, nothing = tap_gradient(gradient, ctx.saved_tensors[0], ctx.watcher)
    return same, None if ctx.anchor is None else nothing, None, None, None


tap.register_autograd(_back, setup_context=_remember)
